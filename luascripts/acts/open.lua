-- open: opens an account.
-- row: account, asset, flags, overdraft_limit (minor units), details
-- outcome: Opened; AccountExists

acts[OPEN] = function(i)
  local a, p = account[i], at[i]

  -- Decide.
  if available[a] then return answer(i, ACCOUNT_EXISTS) end

  -- Apply.
  happen(i)
  available[a], reserved[a], version[a], status_seq[a] = 0, 0, 0, seq
  asset_of[a], flags[a], overdraft[a] = read('>HBI7', text, p + 15)
  details[a], details_changed[a] = pack('>I7', now) .. sub(text, p + 25, stop(i)), true
  move(a, 0)
  return answer(i, OPENED)
end
