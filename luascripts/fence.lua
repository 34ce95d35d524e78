-- fence: lets a new keeper go on with partitions of this shard in its epoch, where they are as it saw them.
-- KEYS: parts
-- ARGV[1]: claims of partition u16, seen epoch u32, seen seq u56, new epoch u32
-- answers per claim: 0 no record, 1 done (now or before), 2 another; then the record as it is now (epoch u32, seq u56, time_ms, evicted_ms u56)

local pack, read, sub = struct.pack, struct.unpack, string.sub
local claims, out, words = ARGV[1], {}, {}

-- Decide.
for p = 1, #claims, CLAIM_SIZE do
  local name, seen_epoch, seen_seq, wanted = read('>c2I4I7I4', claims, p)
  local part = redis.call('HGET', KEYS[1], name)
  if not part then
    out[#out + 1] = '\0' .. string.rep('\0', PART_SIZE)
  else
    local epoch, seq = read('>I4I7', part)
    local done = seq == seen_seq and (epoch == seen_epoch or epoch == wanted) and wanted >= epoch
    if done then
      part = pack('>I4', wanted) .. sub(part, 5)
      words[#words + 1], words[#words + 2] = name, part
    end
    out[#out + 1] = (done and '\1' or '\2') .. part
  end
end

-- Apply.
if #words > 0 then redis.call('HSET', KEYS[1], unpack(words)) end
return table.concat(out)
