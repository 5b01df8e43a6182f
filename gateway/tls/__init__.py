"""HTTPS: certificates from files and Secrets, chosen by server name, swapped while connections go on."""
