/**
 * HTTP/2 beside HTTP/1.1 on one port, without TLS: who speaks it says so in the first bytes of the connection ("prior
 * knowledge"), and no request line of HTTP/1.1 begins like that. AWS's SDK for JavaScript speaks to Kinesis in no other way.
 *
 *     connection ─▶ first bytes ─▶ "PRI * HTTP/2.0…"? ─▶ HTTP/2, one stream a request
 *                                               └─ no ─▶ HTTP/1.1, as if nobody had looked
 *
 * Looking costs once a connection; what is read is put back. Source: RFC 9113 §3.3 and §3.4.
 */
import type { RequestListener, Server } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'

/** HTTP/1.1 has no method `PRI`. */
const begins = Buffer.from('PRI')
/** In MB. Node counts in what is queued to be sent, and 10 is its own default: less than one answer of GetRecords. */
const maxSessionMemory = 128

/** RFC 9113 §7. */
const CANCEL = 0x08

type Timeouts = {
  /** How long a request may take to come in, as over HTTP/1.1. */
  requestTimeout: number
  /** How long a connection may stay without requests. */
  keepAliveTimeout: number
}

/** Makes a server hear both; `close` lets the streams in hand end and the connections go. */
export function hearHttp2Too(
  server: Server,
  hear: RequestListener,
  timeouts: Timeouts,
): { close(): void } {
  /** Made for the first who speaks it. */
  let http2: ReturnType<typeof http2Server> | undefined
  const unheard = new Set<Socket>()
  let isClosed = false
  const hearHttp1 = server.listeners('connection')
  server.removeAllListeners('connection')

  server.on('connection', (socket) => {
    if (isClosed) return socket.destroy()
    unheard.add(socket)
    lookAtFirstBytes(socket, timeouts.requestTimeout, (isHttp2) => {
      unheard.delete(socket)
      if (isHttp2) {
        http2 ??= http2Server(hear, timeouts)
        http2.take(socket)
      } else for (const take of hearHttp1) take.call(server, socket)
    })
    socket.once('close', () => unheard.delete(socket))
  })

  return {
    close() {
      isClosed = true
      http2?.close()
      for (const socket of unheard) socket.destroy()
    },
  }
}

/** Never calls back for a connection that goes, or says nothing in time. */
function lookAtFirstBytes(
  socket: Socket,
  timeoutMs: number,
  tell: (isHttp2: boolean) => void,
): void {
  let seen: Buffer = Buffer.alloc(0)
  const hangUp = () => socket.destroy()
  const look = () => {
    const more: Buffer | null = socket.read()
    if (more !== null) seen = seen.length === 0 ? more : Buffer.concat([seen, more])
    const isPart = seen.length < begins.length && begins.subarray(0, seen.length).equals(seen)
    if (isPart && !socket.readableEnded) return
    socket.removeListener('readable', look)
    socket.removeListener('end', hangUp)
    socket.removeListener('error', hangUp)
    socket.removeListener('timeout', hangUp)
    socket.setTimeout(0)
    if (seen.length > 0) socket.unshift(seen)
    tell(seen.subarray(0, begins.length).equals(begins))
  }
  socket.setTimeout(timeoutMs, hangUp)
  socket.on('readable', look)
  socket.on('end', hangUp)
  socket.on('error', hangUp)
}

function http2Server(hear: RequestListener, { requestTimeout, keepAliveTimeout }: Timeouts) {
  const { createServer } = process.getBuiltinModule('node:http2')
  const sessions = new Set<ServerHttp2Session>()
  const serve = (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    // Signatures are over `host`, which is called otherwise here.
    request.headers.host ??= request.headers[':authority']
    giveUpLate(request, requestTimeout)
    // Of what differs between the versions, nothing is used here.
    hear(request as never, response as never)
  }
  const server = createServer({ maxSessionMemory }, serve)
  // What a client expects beside 100-continue is not ours to fulfil.
  server.on('checkExpectation', serve)
  // Bytes that are no HTTP/2: the session has told the client, and is gone.
  server.on('sessionError', () => {})
  server.on('session', (session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
    let streams = 0
    session.on('stream', (stream) => {
      streams++
      stream.once('close', () => streams--)
    })
    session.setTimeout(keepAliveTimeout, () => {
      if (streams === 0) session.close()
    })
  })
  return {
    take(socket: Socket) {
      socket.allowHalfOpen = false
      server.emit('connection', socket)
    },
    close() {
      for (const session of sessions) session.close()
    },
  }
}

function giveUpLate({ stream }: Http2ServerRequest, timeoutMs: number): void {
  if (stream.endAfterHeaders) return
  const timer = setTimeout(() => stream.close(CANCEL), timeoutMs)
  timer.unref()
  const stop = () => clearTimeout(timer)
  stream.once('end', stop)
  stream.once('close', stop)
}
