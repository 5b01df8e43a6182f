-- What wrk sends, and what it tells at the end as one line of JSON.
--   wrk ... -s load.lua http://HOST:PORT/SIZE -- METHOD SIZE HOSTNAME [vary]
-- GET /SIZE is answered with SIZE bytes; POST /SIZE sends SIZE bytes and is answered with none.
-- Nothing here is called per request: wrk makes the request's bytes once. With `vary` it takes one of a thousand in turn, and the
-- upstream answers each with a head of its own, so that on no connection a head comes twice in a row.

function init(args)
   wrk.method = args[1]
   wrk.headers["Host"] = args[3]
   wrk.headers["User-Agent"] = "bench"
   wrk.headers["Accept"] = "*/*"
   if args[1] == "POST" then
      wrk.headers["Content-Type"] = "application/octet-stream"
      wrk.body = string.rep("x", tonumber(args[2]))
   end
   if args[4] == "vary" then
      vary()
   end
end

function vary()
   local requests, turn = {}, 0
   for n = 1, 1000 do
      wrk.headers["X-Turn"] = n
      requests[n] = wrk.format(nil, wrk.path .. "?n=" .. n)
   end
   request = function()
      turn = turn % 1000 + 1
      return requests[turn]
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "microseconds": %d, "bytes": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d, ' ..
      '"p50": %.0f, "p99": %.0f}\n',
      summary.requests, summary.duration, summary.bytes, errors.connect, errors.read, errors.write, errors.status, errors.timeout,
      latency:percentile(50), latency:percentile(99)))
end
