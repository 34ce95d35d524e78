-- open: opens an account.
-- row: account, asset, flags, overdraft_limit (minor units), details
-- outcome: Opened; AccountExists

needs[OPEN] = function(i, p)
  account[i] = account_named(sub(arg, p + 3, p + 14))
end

acts[OPEN] = function(i)
  local a, p = account[i], at[i]

  -- Decide.
  if available[a] then return answer(ACCOUNT_EXISTS) end

  -- Apply.
  happen(i, OPENED)
  available[a], reserved[a], version[a], status_seq[a] = 0, 0, 0, seq
  asset_of[a], flags[a], overdraft[a] = read('>HBI7', arg, p + 15)
  details[a], details_changed[a] = pack('>I7', now) .. sub(arg, p + 25, stop[i]), true
  move(a, 0, 0)
  return answer(OPENED)
end
