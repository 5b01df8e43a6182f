// Package function is a Go function in the form of Knative's func: kfn makes the program around it.
package function

import (
	"fmt"
	"net/http"
)

// Handle answers one request.
func Handle(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	if name == "" {
		name = "world"
	}
	fmt.Fprintf(w, "hello %s, from Go\n", name)
}
