"""What an image stands on: nothing, packages of Debian, or somebody's image."""
