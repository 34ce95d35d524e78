-- alter: changes an account's flags, limit and details.
-- row: account, expected_version (0: any), expected_status_seq, flags, overdraft_limit (minor units), details
-- outcome: Altered; AccountNotFound, PreconditionFailed, AlterConflict, FlagsConflict, AccountNotEmpty, ConditionFailed

acts[ALTER] = function(i)
  local a, p = account[i], at[i]
  local expected_version, expected_status_seq, f, limit = read('>I7I7BI7', text, p + 15)

  -- Decide.
  if not available[a] or not details[a] then return answer(i, ACCOUNT_NOT_FOUND) end
  if expected_version ~= 0 and expected_version ~= version[a] then return answer(i, PRECONDITION_FAILED) end
  if expected_status_seq ~= status_seq[a] then return answer(i, ALTER_CONFLICT) end
  local issues = has_flag(flags[a], ISSUANCE)
  if has_flag(f, ISSUANCE) ~= issues then return answer(i, FLAGS_CONFLICT) end
  local closes = has_flag(f, CLOSED) and not has_flag(flags[a], CLOSED)
  if closes and (available[a] ~= 0 or reserved[a] ~= 0) then return answer(i, ACCOUNT_NOT_EMPTY) end
  if not issues and available[a] < -limit then return answer(i, CONDITION_FAILED) end

  -- Apply.
  happen(i)
  flags[a], overdraft[a], status_seq[a] = f, limit, seq
  details[a], details_changed[a] = sub(details[a], 1, 7) .. sub(text, p + 37, stop(i)), true
  move(a, 0)
  return answer(i, ALTERED)
end
