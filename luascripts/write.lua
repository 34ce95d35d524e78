-- write: what has changed, once, at the end.

local function store(hash, words, n)
  for i = 1, n, FIELDS_MAX do call('HSET', hash, spread(words, i, math.min(i + FIELDS_MAX - 1, n))) end
end

-- The outbox, and where the partitions are. Answers the entry's number.
local function write_outbox(outbox, parts)
  local id = last_entry + 1
  entry[2] = concat(entry_head, '', 1, entry_heads)
  call('XADD', outbox, string.format('%.0f-0', id), spread(entry, 1, entry_words))
  local moves, n = {'outbox', pack('>I7', id)}, 2
  local fresh = fresh_slices(live)
  if fresh then moves[3], moves[4], n = 'window', with_slices(window, fresh), 4 end
  for name in pairs(part_moved) do
    moves[n + 1], moves[n + 2] = name, pack('>I4I7I7I7', part_epoch[name], part_seq[name], part_ms[name], part_evicted[name])
    n = n + 2
  end
  store(parts, moves, n)
  return id
end

local function write_accounts(hash)
  local words, w = {}, 0
  for c = 1, changes do
    local a = changed[c]
    local has = available[a]
    words[w + 1] = handle[a]
    w = w + 2
    if has >= 0 and reserved[a] == 0 and flags[a] == 0 and overdraft[a] == 0 then
      words[w] = pack('>I7I6I6H', has, version[a], status_seq[a], asset_of[a])
    else
      words[w] = pack('>i8I7BI6I6HI7', has, reserved[a], flags[a], version[a], status_seq[a], asset_of[a], overdraft[a])
    end
  end
  store(hash, words, w)
end

local function write_reservations(hash)
  local words = {}
  for c = 1, res_changes do
    local r = res_changed[c]
    words[2 * c - 1], words[2 * c] = res_id[r], pack_reservation(r)
  end
  store(hash, words, 2 * res_changes)
end

local function write_others(details_hash, delivered_hash)
  local words, w = {}, 0
  for a in pairs(details_changed) do
    words[w + 1], words[w + 2] = handle[a], details[a]
    w = w + 2
  end
  store(details_hash, words, w)
  words, w = {}, 0
  for d in pairs(channel_moved) do
    words[w + 1], words[w + 2] = channel_field[d], pack('>I7', delivered[d])
    w = w + 2
  end
  store(delivered_hash, words, w)
end
