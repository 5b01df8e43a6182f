"""Where a source comes from and what of it is read: folders, git repositories, ignore rules, secrets."""
