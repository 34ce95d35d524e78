-- library: the train as functions that stay in the Redis process, with their tables: a train need not build them anew.
-- They run trains only from an admission on that this very process has seen, and that its data shows: a Redis that was started
-- again or is a replica has seen none, and one that got other data shows another.

-- token: of the admissions since trains were stopped last, which parts has, too; epochs: that were admitted.
local token, epochs = '', {}
local train -- built by the first

-- KEYS and ARGV: as train.
local function run(hashes, args)
  train = train or build()
  return train(hashes, args, token, epochs)
end

-- KEYS: parts
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: until_ms u56; ARGV[3]: a token that nobody had before
-- answers 1; 0 when a keeper of a higher epoch was here
local function admit(keys, args)
  if admit_keeper(keys[1], args[1], args[2]) == 0 then return 0 end
  if token == '' or redis.call('HGET', keys[1], 'admitted') ~= token then
    token, epochs = args[3], {}
    redis.call('HSET', keys[1], 'admitted', token)
  end
  epochs[args[1]] = true
  return 1
end

-- KEYS: parts
-- ARGV[1]: epoch u32
-- answers 1 when trains of the epoch run; else 0
local function is_admitted(keys, args)
  return epochs[args[1]] and redis.call('HGET', keys[1], 'admitted') == token and 1 or 0
end

local function forget()
  token, epochs = '', {}
  return 1
end

redis.register_function('NAME_train', run)
redis.register_function{function_name = 'NAME_release', callback = run, flags = {'RELEASE'}}
redis.register_function{function_name = 'NAME_admit', callback = admit, flags = {'allow-oom'}}
redis.register_function{function_name = 'NAME_admitted', callback = is_admitted, flags = {'no-writes', 'allow-oom'}}
redis.register_function{function_name = 'NAME_forget', callback = forget, flags = {'no-writes', 'allow-oom'}}
