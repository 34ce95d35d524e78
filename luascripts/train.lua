-- train: everything that waits for this shard in one call: read once, decide every row in order, write once.
-- KEYS: accounts, details, reservations, delivered, parts, outbox, filter; the hashes of key records are named here, by time slice
-- ARGV[1]: what the rows name, and columns of it (names.go); ARGV[2…]: each section's rows (journal.Row), but for
-- those that only look
-- answers the id of the outbox entry u56 (0: nothing happened), then per section: status u8, epoch u32, base seq u56, time_ms u56,
--   then a status byte a row and what stands behind them (reply.go); a section whose partition does not serve the caller has no outcomes
-- appends to the outbox, if anything happened: field h: per section partition u16, epoch u32, first seq u56, time_ms u56,
--   events u16, events × status byte; fields 1, 2, …: the sections' rows that have happened


-- Nothing of the train before is left.
local function begin()
  call = redis.call
  trains = trains + 1
  part_epoch, part_seq, part_ms, part_evicted, part_moved = {}, {}, {}, {}, {}
  key_part, res_part, owned = {}, {}, false
  outs, numbers, changes, res_changes, entry_heads, entry_words = 0, 0, 0, 0, 0, 2
  slice_writes, channel_moved, details_changed = {}, {}, {}
end

-- token, epochs: what was admitted, where trains are functions of a library (library.lua)
local function train(hashes, args, token, epochs)
  begin()
  local details_count = arrive(args[1])
  local serves = read_parts(hashes[5])
  if token and (not epochs[caller_epoch] or serves and admitted ~= token) then
    return {err = 'NOTREADY no train of this epoch runs here'}
  end
  if reservations > 0 then read_reservations(hashes[3]) end
  read_accounts(hashes[1])
  if details_count > 0 then read_details(hashes[2], details_count) end
  read_keys(hashes[7])
  if channels > 0 then read_channels(hashes[4]) end

  put('') -- for the entry's number
  for s = 1, sections do decide(s, args[s + 1]) end

  -- The outbox first: it is the only write that Redis could refuse, if somebody has lost the counter.
  local left = 0
  if next(part_moved) then left = write_outbox(hashes[6], hashes[5]) end
  write_accounts(hashes[1])
  for slice, written in pairs(slice_writes) do store('keys:' .. slice, written, #written) end
  if res_changes > 0 then write_reservations(hashes[3]) end
  write_others(hashes[2], hashes[4])
  out[1] = pack('>I7', left)
  return concat(out, '', 1, outs)
end
