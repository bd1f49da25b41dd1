"""What was decided, by whom and when: a log in which nothing can be changed unnoticed."""
