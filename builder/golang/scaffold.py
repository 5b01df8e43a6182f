"""The program around a Go function in the form of Knative's `func`, as text: it listens, answers health, and stops in order. Pure.

It uses the standard library only, so that the function's go.mod and go.sum stay as they are.
"""

from builder.golang.module import Function

NAMES = ("kfnmain", "kfnmain1", "kfnmain2")  # folders for it, of which one is free

_PROGRAM = """\
// Made by kfn around the function's package.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	function "{module}"
)

func main() {{
	log.SetFlags(0)
	stop, done := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer done()
{handler}
	mux := http.NewServeMux()
	mux.HandleFunc("/health/liveness", health(instance, "Alive"))
	mux.HandleFunc("/health/readiness", health(instance, "Ready"))
	mux.HandleFunc("/", handle)
	if s, ok := instance.(interface {{
		Start(context.Context, map[string]string) error
	}}); ok {{
		if err := s.Start(stop, environment()); err != nil {{
			log.Fatalf("the function's Start failed: %v", err)
		}}
	}}
	port := os.Getenv("PORT")
	if port == "" {{
		port = "8080"
	}}
	listener, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("KFN_HOST"), port))
	if err != nil {{
		log.Fatalf("port %s cannot be listened on: %v", port, err)
	}}
	server := &http.Server{{Handler: mux, ReadHeaderTimeout: 60 * time.Second}}
	failed := make(chan error, 1)
	go func() {{ failed <- server.Serve(listener) }}()
	select {{
	case err := <-failed:
		log.Fatalf("it cannot serve: %v", err)
	case <-stop.Done():
	}}
	limit := 300 * time.Second
	if given, err := time.ParseDuration(os.Getenv("KFN_DRAIN_TIMEOUT") + "s"); err == nil {{
		limit = given
	}}
	drain, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := server.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {{
		log.Printf("the server did not stop in order: %v", err)
	}}
	if s, ok := instance.(interface{{ Stop(context.Context) error }}); ok {{
		if err := s.Stop(drain); err != nil {{
			log.Fatalf("the function's Stop failed: %v", err)
		}}
	}}
}}

func environment() map[string]string {{
	found := map[string]string{{}}
	for _, entry := range os.Environ() {{
		name, value, _ := strings.Cut(entry, "=")
		found[name] = value
	}}
	return found
}}

// health asks the function itself, if it has something to say.
func health(instance any, which string) http.HandlerFunc {{
	ask := func(context.Context) (bool, error) {{ return true, nil }}
	if a, ok := instance.(interface {{
		Alive(context.Context) (bool, error)
	}}); ok && which == "Alive" {{
		ask = a.Alive
	}}
	if r, ok := instance.(interface {{
		Ready(context.Context) (bool, error)
	}}); ok && which == "Ready" {{
		ask = r.Ready
	}}
	return func(w http.ResponseWriter, r *http.Request) {{
		well, err := ask(r.Context())
		if err != nil || !well {{
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, "not well", err)
			return
		}}
		fmt.Fprintln(w, "OK")
	}}
}}
"""

_STATIC = """\
	var instance any
	var handle http.HandlerFunc = {call}
"""
_INSTANCED = """\
	made := function.New()
	var instance any = made
	var handle http.HandlerFunc = {call}
"""


def program(function: Function) -> str:
    """main.go for it. A handler of another type is an error of the compiler, at the line that says `handle`."""
    target = "made.Handle" if function.instanced else "function.Handle"
    call = f"func(w http.ResponseWriter, r *http.Request) {{ {target}(r.Context(), w, r) }}" if function.context else target
    handler = (_INSTANCED if function.instanced else _STATIC).format(call=call)
    return _PROGRAM.format(module=function.module, handler=handler)
