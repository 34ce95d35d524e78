-- arrive: what the head of a train says (names.go).

local head, at_head = '', 1

-- The next n items of the head, all alike. A column has one item more, which nobody looks at.
local function column(item, size, n)
  local p = at_head
  at_head = p + size * n
  return n > 0 and {read('>' .. rep(item, n), head, p)} or {}
end

local function bytes_column(n)
  local p = at_head
  at_head = p + n
  return {byte(head, p, at_head - 1)}
end

local function arrive(from)
  local build, details_count
  head = from
  build, caller_epoch, sections, rows, accounts, keys, reservations, channels, details_count, legs, at_head =
    read('>Hc4HHHHHHHH', head)
  if build ~= TRAIN_VERSION then error('a train of another build') end
  if rows + legs > ACTS_MAX * 2 then error('a train of too many acts') end
  handle, id_of = column('c12', 12, accounts), column('c16', 16, keys)
  res_id, channel_field = column('c16', 16, reservations), column('c4', 4, channels)
  details_of = column('H', 2, details_count)
  local n = 0
  for s = 1, sections do
    local count
    of_partition[s], of_epoch[s], count, at_head = read('>c2I4H', head, at_head)
    first_row[s], last_row[s] = n + 1, n + count
    n = n + count
  end
  op, verdict = bytes_column(rows), bytes_column(rows)
  account, to, key = column('H', 2, rows), column('H', 2, rows), column('H', 2, rows)
  amount, asset, at = column('I7', 7, rows), column('H', 2, rows), column('I4', 4, rows)
  local n = reservations > 0 and rows or 0
  held, tomb = column('H', 2, n), column('H', 2, n)
  leg_to, leg_amount, leg_spare = column('H', 2, legs), column('I7', 7, legs), column('H', 2, legs)
  return details_count
end
