// etcd as it comes: a main of ours because its own lies in a module with replace directives, which go install refuses.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
