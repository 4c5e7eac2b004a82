"""The rubric: a program that grades answers where no judge is to be had, and a server that speaks for it."""
