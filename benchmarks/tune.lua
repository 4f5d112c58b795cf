-- wrk: post a body whose control ids are new each time, and say what came of it as one line of JSON.
-- Arguments behind `--`: the file with the body, in which ######## stands in every control id; X-Ack-When.

local thread = 0

function setup(each)
    thread = thread + 1
    each:set("number", thread)
end

function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))
    body = file:read("*a")
    file:close()
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/hl7-v2"
    wrk.headers["X-Ack-When"] = arguments[2]
    wrk.body = body
    local whole = wrk.format()
    pieces = {}
    local from = 1
    while true do
        local at = whole:find("########", from, true)
        pieces[#pieces + 1] = whole:sub(from, at and at - 1)
        if not at then break end
        from = at + 8
    end
    count = number * 10000000 + tonumber(arguments[3])
end

function request()
    count = count + 1
    return table.concat(pieces, string.format("%08d", count))
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\nRESULT {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "errors": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
