-- read: reads an account. Nothing changes, nothing is journaled.
-- row: account, details (1: send the details too)
-- outcome: OK, then details length u16, account, details; AccountNotFound

needs[READ] = function(i, p)
  local a = account_named(sub(arg, p + 3, p + 14))
  account[i], whole[i] = a, byte(arg, p + 15) == 1
  if whole[i] then details_named[a] = true end
end

acts[READ] = function(i)
  local a = account[i]

  -- Decide.
  if not available[a] then return answer(ACCOUNT_NOT_FOUND) end

  -- Apply: nothing but the answer.
  local text = whole[i] and details[a] or ''
  return put(letter[OK] .. pack('>Hi8I7BI6I6HI7', #text, available[a], reserved[a], flags[a], version[a], status_seq[a],
    asset_of[a], overdraft[a]) .. text)
end
