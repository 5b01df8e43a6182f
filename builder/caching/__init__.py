"""What is kept between builds: how large it may grow, what other machines made, why something was made anew."""
