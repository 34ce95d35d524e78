-- read: what a train reads from Redis, once, before any row is decided.

-- Redis takes a call's words from Lua's stack, which holds 8,000.
local function load(hash, fields, n)
  if n <= FIELDS_MAX then return n > 0 and call('HMGET', hash, spread(fields, 1, n)) or {} end
  local values = {}
  for i = 1, n, FIELDS_MAX do
    local some = call('HMGET', hash, spread(fields, i, math.min(i + FIELDS_MAX - 1, n)))
    for j = 1, #some do values[i + j - 1] = some[j] end
  end
  return values
end

-- The partitions first: rows of one that does not serve the caller are not looked at. Answers whether any does.
local function read_parts(hash)
  local fields = {'outbox', 'lease', 'window', 'admitted'}
  for s = 1, sections do fields[s + 4] = of_partition[s] end
  local parts = load(hash, fields, sections + 4)
  last_entry, window, admitted = parts[1] and read('>I7', parts[1]) or 0, parts[3], parts[4]
  slice_ms, floor, sealed, filtered, live, behind = slices_of(window)

  -- Only within its lease does a shard know that no other one serves its partitions (lease.go).
  local time, lease = call('TIME'), parts[2] and read('>I7', parts[2]) or 0
  clock = time[1] * 1000 + math.floor(time[2] / 1000)
  local serves = false
  for s = 1, sections do
    local part, name = parts[s + 4], of_partition[s]
    state_of[s] = window and OK or UNINITIALISED
    if not part then state_of[s] = call('HEXISTS', hash, 'moving' .. name) == 1 and MOVING or UNINITIALISED end
    if part then
      part_epoch[name], part_seq[name], part_ms[name], part_evicted[name] = read('>I4I7I7I7', part)
      if part_epoch[name] ~= of_epoch[s] then state_of[s] = STALE_EPOCH end
      if clock >= lease and state_of[s] == OK then state_of[s] = LEASE_OVER end
    end
    serves = serves or state_of[s] == OK
  end
  return serves
end

-- Their payers are accounts, too.
local function read_reservations(hash)
  local account_of, values = {}, load(hash, res_id, reservations)
  for a = 1, accounts do account_of[handle[a]] = a end
  for r = 1, reservations do
    local v, payer = values[r], nil
    res_status[r] = false
    if v then
      res_status[r], payer, res_to[r], res_amount[r], remaining[r], captured[r], res_asset[r], created_ms[r], expires_ms[r],
        resolved_ms[r] = read('>Bc12c12I7I7I7HI7I7I7', v)
      local a = account_of[payer]
      if not a then
        a = accounts + 1
        accounts, account_of[payer], handle[a] = a, a, payer
      end
      res_payer[r] = a
      if res_status[r] ~= TRIED then
        owners()
        if resolved_ms[r] < (part_evicted[res_part[r]] or 0) then res_status[r] = false end
      end
    end
  end
end

local function read_accounts(hash)
  local values = load(hash, handle, accounts)
  for a = 1, accounts do
    local v = values[a]
    if v and #v == PLAIN_SIZE then
      available[a], version[a], status_seq[a], asset_of[a] = read('>I7I6I6H', v)
      reserved[a], flags[a], overdraft[a] = 0, 0, 0
    elseif v then
      available[a], reserved[a], flags[a], version[a], status_seq[a], asset_of[a], overdraft[a] = read('>i8I7BI6I6HI7', v)
    else
      available[a], reserved[a] = false, 0
    end
  end
end

local function read_details(hash, n)
  local named = {}
  for j = 1, n do named[j] = handle[details_of[j]] end
  local values = load(hash, named, n)
  for j = 1, n do details[details_of[j]] = values[j] end
end

local function read_channels(hash)
  local values = load(hash, channel_field, channels)
  for d = 1, channels do delivered[d] = values[d] and read('>I7', values[d]) or 0 end
end
