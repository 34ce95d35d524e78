-- A transfer on a single Redis, as most would write it: one script a transfer, two hashes for accounts, a string for the key.
-- Nothing is journaled: what this Redis forgets is gone.
-- KEYS: payer, payee, key      ARGV: amount, asset, reference's sum, payee's name, time_ms
-- answers status, detail, time_ms; status + 128: the first outcome of the key

local payer = redis.call('HMGET', KEYS[1], 'available', 'least', 'asset', 'flags')
local payee = redis.call('HMGET', KEYS[2], 'available', 'asset')
local amount = tonumber(ARGV[1])
local content = ARGV[4] .. ':' .. ARGV[1] .. ':' .. ARGV[2] .. ':' .. ARGV[3]

local seen = redis.call('GET', KEYS[3])
if seen then
  local status, detail, time, to, sum, asset, ref = string.match(seen, '^(%d+) (%d+) (%d+) (%x+):(%d+):(%d+):(%d+)$')
  if to ~= ARGV[4] then return {11, '0', '0'} end
  if sum ~= ARGV[1] then return {12, '0', '0'} end
  if asset ~= ARGV[2] then return {13, '0', '0'} end
  if ref ~= ARGV[3] then return {17, '0', '0'} end
  return {status + 128, detail, time}
end

local function answer(status, detail)
  detail = detail or '0'
  if status < 18 or status > 21 then redis.call('SET', KEYS[3], status .. ' ' .. detail .. ' ' .. ARGV[5] .. ' ' .. content) end
  return {status, detail, ARGV[5]}
end

if KEYS[1] == KEYS[2] then return answer(18) end
if (payer[3] or ARGV[2]) ~= ARGV[2] or (payee[2] or ARGV[2]) ~= ARGV[2] then return answer(19) end
if not payer[1] then return answer(21) end
if not payee[1] then return answer(24) end
local missing = amount - (tonumber(payer[1]) - tonumber(payer[2]))
if missing > 0 then
  if payer[4] == '1' then return answer(33, '9007199254740991') end
  return answer(32, string.format('%.0f', math.min(missing, 9007199254740991)))
end
if amount > 9007199254740991 - tonumber(payee[1]) then return answer(34) end

redis.call('HINCRBY', KEYS[1], 'available', -amount)
redis.call('HINCRBY', KEYS[2], 'available', amount)
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HINCRBY', KEYS[2], 'version', 1)
return answer(5)
