-- decide: every row in order. Nothing is written here.

-- What has happened in a section goes to the outbox as it came: the whole section, or runs of rows.
local function happened(first, base, statuses)
  local bytes, w = text, entry_words
  if seq - base < ending - first + 1 then
    local some, theirs = {}, {}
    run_to[runs] = run_end
    for r = 1, runs do
      local from, upto = run_from[r], run_to[r]
      some[r], theirs[r] = sub(text, at[from], stop(upto)), sub(statuses, from - first + 1, upto - first + 1)
    end
    bytes, statuses = concat(some), concat(theirs)
  end
  entry_heads = entry_heads + 1
  entry_head[entry_heads] = partition .. pack('>I4I7I7H', epoch, base + 1, now, seq - base) .. statuses
  entry[w + 1], entry[w + 2] = entry_heads, bytes
  entry_words = w + 2
end

local function decide_rows(first, last)
  for i = first, last do
    local act = acts[op[i]]
    if act then act(i) else said[i] = MALFORMED end
  end
end

local function decide(s, rows_of)
  local name, first, last = of_partition[s], first_row[s], last_row[s]
  partition, epoch, seq, evicted = name, part_epoch[name] or 0, part_seq[name] or 0, part_evicted[name] or 0
  now = math.max(clock, floor * slice_ms, part_ms[name] or 0)
  put(pack('>BI4I7I7', state_of[s], epoch, seq, now))
  if state_of[s] ~= OK or first > last then return end
  local base, slot = seq, outs + 1 -- of the statuses, which stand before what stands behind them
  text, ending, runs, run_end, key_head, outs = rows_of, last, 0, -1, {}, slot
  open_slice(math.floor(now / slice_ms))
  decide_rows(first, last)
  put('')
  local statuses = char(spread(said, first, last))
  out[slot] = statuses
  if seq > base then
    happened(first, base, statuses)
    part_seq[name], part_ms[name], part_evicted[name], part_moved[name] = seq, now, evicted, true
  end
end
