// What runs in the pods of the cluster's own tests: a web server that says who it is, and a client for `kubectl exec`.
//
//	peer serve [PORT]  answers every request with the pod's name; /fetch?url= asks somebody else and gives their answer;
//	                   /work?ms= takes so long, and says how many requests were inside at most since the start
//	peer get URL       prints the answer
//	peer refuse WHY    an admission webhook on port 8443 that refuses everything, with the certificate in /tls
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
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

type review struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Request    map[string]any `json:"request,omitempty"`
	Response   map[string]any `json:"response,omitempty"`
}

func refuse(why string) error {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		var asked review
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer := map[string]any{"uid": asked.Request["uid"], "allowed": false, "status": map[string]any{"message": why}}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(review{APIVersion: asked.APIVersion, Kind: asked.Kind, Response: answer})
	})
	return http.ListenAndServeTLS(":8443", "/tls/tls.crt", "/tls/tls.key", nil)
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "refuse" {
		fmt.Fprintln(os.Stderr, refuse(os.Args[2]))
		os.Exit(1)
	}
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
	var inside, peak int
	var counts sync.Mutex
	http.HandleFunc("/work", func(w http.ResponseWriter, r *http.Request) {
		counts.Lock()
		inside++
		peak = max(peak, inside)
		counts.Unlock()
		ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		counts.Lock()
		inside--
		most := peak
		counts.Unlock()
		name, _ := os.Hostname()
		fmt.Fprintln(w, name, most)
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		name, _ := os.Hostname()
		fmt.Println(r.Method, r.URL.Path)
		fmt.Fprintln(w, name)
	})
	server := http.Server{Addr: ":" + port}
	ended := make(chan struct{})
	go func() {
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		<-term
		server.Shutdown(context.Background()) // takes nothing new, and finishes what is under way
		close(ended)
	}()
	fmt.Println("serving on", port)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ended
}
