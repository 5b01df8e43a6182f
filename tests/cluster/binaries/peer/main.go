// What runs in the pods of the cluster's own tests: a web server that says who it is, and a client for `kubectl exec`.
//
//	peer serve [PORT]  answers every request with the pod's name; /fetch?url= asks somebody else and gives their answer
//	peer get URL       prints the answer
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

var client = http.Client{Timeout: 5 * time.Second}

func get(url string) (string, error) {
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return string(body), err
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "get" {
		body, err := get(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(body)
		return
	}
	port := "8080"
	if len(os.Args) == 3 {
		port = os.Args[2]
	}
	http.HandleFunc("/fetch", func(w http.ResponseWriter, r *http.Request) {
		body, err := get(r.URL.Query().Get("url"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, body)
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		name, _ := os.Hostname()
		fmt.Println(r.Method, r.URL.Path)
		fmt.Fprintln(w, name)
	})
	fmt.Println("serving on", port)
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+port, nil))
	os.Exit(1)
}
