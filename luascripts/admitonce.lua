-- admitonce: admits trains as scripts of their own, which are loaded already.
-- KEYS: parts
-- ARGV: as admit_keeper
return admit_keeper(KEYS[1], ARGV[1], ARGV[2])
