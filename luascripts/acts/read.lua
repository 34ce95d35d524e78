-- read: reads an account. Nothing changes, nothing is journaled.
-- row: account, details (1: send the details too)
-- outcome: OK, then details length u16, account, details; AccountNotFound

acts[READ] = function(i)
  local a = account[i]

  -- Decide.
  if not available[a] then return answer(i, ACCOUNT_NOT_FOUND) end

  -- Apply: nothing but the answer.
  local more = verdict[i] == 1 and details[a] or ''
  answer(i, OK)
  return put(pack('>Hi8I7BI6I6HI7', #more, available[a], reserved[a], flags[a], version[a], status_seq[a],
    asset_of[a], overdraft[a]) .. more)
end
