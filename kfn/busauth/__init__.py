"""Who may do what on NATS: keys, the accounts that they make, and the credentials of a program. Which program gets what is eventing's."""
