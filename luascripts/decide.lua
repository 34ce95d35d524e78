-- decide: every row in order. Nothing is written here.

local told = {} -- statuses of what has happened in a section

-- The rows that have happened, and their statuses. Rows that only look have no bytes: runs with nothing else between them are one.
local function cut()
  local some, pieces, begin, upto, n = {}, 0, at[run_from[1]], at[run_from[1]] - 1, 0
  run_to[runs] = run_end
  for r = 1, runs do
    local from, last = run_from[r], run_to[r]
    if at[from] > upto + 1 then
      pieces = pieces + 1
      some[pieces], begin = sub(text, begin, upto), at[from]
    end
    upto = stop(last)
    for i = from, last do told[n + i - from + 1] = said[i] end
    n = n + last - from + 1
  end
  local bytes = begin == 1 and upto == #text and text or sub(text, begin, upto)
  if pieces > 0 then bytes = concat(some, '', 1, pieces) .. bytes end
  return bytes, char(spread(told, 1, n))
end

-- What has happened in a section goes to the outbox as it came: the whole section, or runs of rows.
local function happened(first, base, statuses)
  local bytes, w = text, entry_words
  if seq - base < ending - first + 1 then bytes, statuses = cut() end
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
