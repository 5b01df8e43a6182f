// Goproxy is the peer that kfn's gateway is measured beside: the standard library's httputil.ReverseProxy in front of one upstream, set
// as one would in production (upstream connections kept, buffers reused, nothing logged). It knows no routes, limits or metrics.
//
//	goproxy -upstream 127.0.0.1:8000
//
// It prints the port on which it listens. GOMAXPROCS says how many cores it uses.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// buffers keeps the 32 KiB buffers with which bodies are copied.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte { return *b.pool.Get().(*[]byte) }

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }

func main() {
	upstream := flag.String("upstream", "", "host:port that gets every request")
	flag.Parse()
	if *upstream == "" {
		fmt.Fprintln(os.Stderr, "goproxy: -upstream HOST:PORT is missing")
		os.Exit(2)
	}
	target := &url.URL{Scheme: "http", Host: *upstream}
	silent := log.New(io.Discard, "", 0)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			MaxIdleConns:        0, // no limit in all
			MaxIdleConnsPerHost: 1024,
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true, // bodies are passed on as they are
		},
		BufferPool: &buffers{sync.Pool{New: func() any { buffer := make([]byte, 32<<10); return &buffer }}},
		ErrorLog:   silent,
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "goproxy:", err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: proxy, ErrorLog: silent, ReadHeaderTimeout: 20 * time.Second, IdleTimeout: 75 * time.Second}
	fmt.Fprintln(os.Stderr, "goproxy:", server.Serve(listener))
	os.Exit(1)
}
