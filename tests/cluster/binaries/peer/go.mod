module kfn.invalid/peer

go 1.26.0
