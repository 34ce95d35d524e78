-- once: the train as a script of its own, which builds everything anew. It runs where Redis had no room for the library.
return train(KEYS, ARGV)
