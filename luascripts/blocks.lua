-- blocks: adds blocks of ids to the filter (journal.Filter).

-- words: ARGV from one on: field and block, in turn.
local function add_blocks(filter, from)
  local fields, words = {}, {}
  for j = from, #ARGV, 2 do fields[#fields + 1] = ARGV[j] end
  local have = redis.call('HMGET', filter, unpack(fields))
  for j = 1, #fields do
    local block = ARGV[from + 2 * j - 1]
    if have[j] then
      local ours, theirs = {string.byte(block, 1, FILTER_BLOCK_SIZE)}, {string.byte(have[j], 1, FILTER_BLOCK_SIZE)}
      for n = 1, FILTER_BLOCK_SIZE do
        if theirs[n] > 0 then ours[n] = bit.bor(ours[n], theirs[n]) end
      end
      block = string.char(unpack(ours))
    end
    words[2 * j - 1], words[2 * j] = fields[j], block
  end
  redis.call('HSET', filter, unpack(words))
end
