/**
 * Who gets which seat of a front end: the seats that it holds in one pool, and the line of invocations that want one.
 *
 * Plain data and pure functions. A free seat goes to whoever has waited longest. When all are busy, the next in line may be
 * sent ahead to a seat whose invocations are quick, one at most: it begins there as soon as the one before it has ended,
 * with no way back and forth between. What was sent ahead is called back when another seat is free, or when it waits there
 * too long; and whoever has come back is served before anybody else is sent ahead, so that nobody is overtaken for long.
 *
 * A function with a reserved concurrency has a *cap*: what this front end holds, and who waits here, is within it. There
 * nobody is sent ahead: whoever finds as many at work as the cap allows is refused, and does not stand behind them.
 */
export type Seat = { sandboxId: string; workerId: string }

/** `isQuick`: its last invocation took no longer than `quickMs`. */
export type FreeSeat = Seat & { isOld: boolean; isQuick: boolean }

export type Ahead = { requestId: string; seat: Seat; isCalledBack: boolean }

export type Line = {
  /** The last one used is the first one taken: few sandboxes stay warm, the others can rest. */
  free: FreeSeat[]
  /** Seats on which an invocation runs. */
  busy: number
  /** Of the busy ones those to which somebody may be sent ahead. */
  open: Seat[]
  /** Who waits at a seat for the one before, longest first. */
  ahead: Ahead[]
  /** Who was sent ahead in vain: first in line, and only for a free seat. */
  returned: string[]
  waiting: string[]
  /** Seats that were recalled and have not come back yet. */
  owed: number
  /** Workers on which no seat is kept. */
  leaving: string[]
}

/** What the machine asks for, as the effects of those names. */
export type Order =
  | { type: 'seat' | 'sendAhead'; params: { requestId: string; seat: Seat } }
  | { type: 'callBack'; params: { requestId: string } }

export const emptyLine: Line = {
  free: [],
  busy: 0,
  open: [],
  ahead: [],
  returned: [],
  waiting: [],
  owed: 0,
  leaving: [],
}

export const plain = ({ sandboxId, workerId }: Seat): Seat => ({ sandboxId, workerId })

/** How many invocations want a seat of their own. */
export const wish = ({ ahead, returned, waiting }: Line): number =>
  ahead.length + returned.length + waiting.length

export const aheadOf = ({ ahead }: Line, { sandboxId }: Seat): Ahead | undefined =>
  ahead.find(({ seat }) => seat.sandboxId === sandboxId)

/** Puts an invocation in line: at the end, or where those stand who come back. */
export function linedUp(line: Line, requestId: string): Line {
  if (line.ahead.every((each) => each.requestId !== requestId)) {
    return { ...line, waiting: [...line.waiting, requestId] }
  }
  const others = line.ahead.filter((each) => each.requestId !== requestId)
  return { ...line, ahead: others, returned: [...line.returned, requestId] }
}

/** Without one who gave up or is at an end. */
export const struck = (line: Line, requestId: string): Line => ({
  ...line,
  ahead: line.ahead.filter((each) => each.requestId !== requestId),
  returned: line.returned.filter((each) => each !== requestId),
  waiting: line.waiting.filter((each) => each !== requestId),
})

/** The one who was sent ahead has the seat now, and the place behind it is open if the one before was quick. */
export const handedOver = (line: Line, seat: Seat, isQuick: boolean): Line => ({
  ...line,
  ahead: line.ahead.filter((each) => each.seat.sandboxId !== seat.sandboxId),
  open: isQuick && mayBeOpen(line, seat) ? [...line.open, plain(seat)] : line.open,
})

/** A busy seat has come back. */
export const freed = (line: Line, seat: Seat, isQuick: boolean): Line => ({
  ...givenUp(line, seat),
  owed: line.owed,
  free: [...line.free, { ...plain(seat), isOld: false, isQuick }],
})

/** A busy seat that is ours no longer. */
export const givenUp = (line: Line, { sandboxId }: Seat): Line => ({
  ...line,
  owed: Math.min(line.owed, line.busy - 1),
  busy: line.busy - 1,
  open: line.open.filter((seat) => seat.sandboxId !== sandboxId),
})

const mayBeOpen = ({ owed, leaving }: Line, { workerId }: Seat): boolean =>
  owed === 0 && !leaving.includes(workerId)

/** Gives out what can be given out. */
export function served(line: Line): { line: Line; orders: Order[] } {
  // The most frequent case under load: all seats are busy, and somebody waits behind each.
  if (line.free.length === 0 && line.open.length === 0) return { line, orders: [] }
  const orders: Order[] = []
  let { free, busy, open, ahead, returned, waiting } = line
  for (;;) {
    const seat = free.at(-1)
    const requestId = returned[0] ?? waiting[0]
    if (seat === undefined || requestId === undefined) break
    orders.push({ type: 'seat', params: { requestId, seat: plain(seat) } })
    free = free.slice(0, -1)
    busy += 1
    if (seat.isQuick && mayBeOpen(line, seat)) open = [...open, plain(seat)]
    if (returned.length > 0) returned = returned.slice(1)
    else waiting = waiting.slice(1)
  }
  while (returned.length === 0) {
    const [seat] = open
    const [requestId] = waiting
    if (seat === undefined || requestId === undefined) break
    orders.push({ type: 'sendAhead', params: { requestId, seat } })
    open = open.slice(1)
    waiting = waiting.slice(1)
    ahead = [...ahead, { requestId, seat, isCalledBack: false }]
  }
  if (free.length > 0 && ahead.length > 0) {
    const called = calledBack(ahead, free.length - ahead.filter((each) => each.isCalledBack).length)
    orders.push(...called.orders)
    ahead = called.ahead
  }
  return { line: { ...line, free, busy, open, ahead, returned, waiting }, orders }
}

/** Calls back so many of those sent ahead, longest first. */
function calledBack(ahead: Ahead[], count: number): { ahead: Ahead[]; orders: Order[] } {
  const orders: Order[] = []
  const after = ahead.map((each) => {
    if (each.isCalledBack || orders.length >= count) return each
    orders.push({ type: 'callBack', params: { requestId: each.requestId } })
    return { ...each, isCalledBack: true }
  })
  return { ahead: after, orders }
}

/** Whether as many run and wait here as the cap allows, the one who asks not counted. */
export const isFull = (line: Line, cap: number, requestId: string): boolean =>
  line.busy + wish(line) >= cap + (line.ahead.some((each) => each.requestId === requestId) ? 1 : 0)

/** The line without what it holds beyond the cap: free seats now, then the next that come back. */
export function withinCap(line: Line, cap: number): { line: Line; seats: Seat[] } {
  const held = line.busy + line.free.length
  if (held <= cap) return { line, seats: [] }
  const seats = line.free.slice(0, held - cap).map(plain)
  const owed = Math.max(line.owed, line.busy - cap)
  return { line: { ...line, free: line.free.slice(seats.length), owed }, seats }
}

/** What a cap makes of a line that had none, or another one: nobody ahead, and no more waiting than it allows. */
export function capped(
  line: Line,
  cap: number,
): { line: Line; orders: Order[]; refused: string[] } {
  const left = cut(line, Math.max(0, cap - line.busy))
  const { ahead, orders } = calledBack(left.line.ahead, left.line.ahead.length)
  const free = left.line.free.map((seat) => ({ ...seat, isQuick: false }))
  return {
    line: { ...left.line, ahead, free, open: [] },
    orders: [...left.orders, ...orders],
    refused: left.refused,
  }
}

/**
 * Only so many may go on waiting, those who came first. Whoever stands at a seat is called back, and is refused like
 * everybody else if that was in time.
 */
export function cut(line: Line, keep: number): { line: Line; orders: Order[]; refused: string[] } {
  const standing = [...line.returned, ...line.waiting]
  const kept = Math.max(0, keep - line.ahead.length)
  const tooMany = line.ahead.slice(keep)
  const { ahead, orders } = calledBack(tooMany, tooMany.length)
  return {
    line: {
      ...line,
      ahead: [...line.ahead.slice(0, keep), ...ahead],
      returned: line.returned.slice(0, kept),
      waiting: line.waiting.slice(0, Math.max(0, kept - line.returned.length)),
    },
    orders,
    refused: standing.slice(kept),
  }
}
