-- filter: adds ids to the filter, as blocks of bits. It may be repeated.
-- KEYS: parts, filter
-- ARGV[1]: the keeper's epoch u32; ARGV[2…]: field and block (journal.FilterBlock), in turn
-- answers 1; 0 when another keeper has the shard

if not keeps(ARGV[1]) then return 0 end
add_blocks(KEYS[2], 2)
return 1
