"""The kinds of handler: each turns an exchange into a call of the author's code and the outcome into a response."""
