/**
 * A small world around one pool: front ends with their reservations, workers with their sandboxes, and a network that
 * delays, repeats and loses messages. The machines are the real ones in their real host; everything else is as simple as
 * it can be. It watches what nobody may break:
 *
 * - no sandbox runs two invocations at a time;
 * - no sandbox is held by two front ends, and never more seats are in use than the limit (`isExact`);
 * - nothing begins beyond the reserved concurrency of the function, once all have heard of it (`isExact`, nothing lost);
 * - every request comes to one end, whether it waited for its seat here or was sent ahead to it.
 */
import { type Host, host } from '../../actors/actor.ts'
import { type PoolEvent, poolMachine } from '../../machines/pool.ts'
import type { Found } from '../../machines/pool-ledger.ts'
import {
  type ReservationsEvent,
  reservationsMachine,
  type Seat,
} from '../../machines/reservations.ts'
import { type KeptLog, keptLog } from '../kept-log.ts'
import type { Chance } from '../seed.ts'
import { type SimulatedClock, simulatedClock } from '../simulated-clock.ts'

export type WorldOptions = {
  limit: number
  /** Sandboxes that each worker has room for. */
  room: number
  /** One message in how many is lost; 0: none. */
  lossy: number
  /** One message in how many comes twice; 0: none. */
  repeating: number
  /**
   * Whether the ledger is to be right at every moment. It cannot be where a grant or a return comes twice (NATS repeats
   * nothing), or where somebody is taken for dead and is not: then a sandbox says who was first, and audits mend the rest.
   */
  isExact: boolean
}

export type End = 'done' | 'throttled' | 'withdrawn' | 'failed' | 'redirected'

/** Sent once, and they count: where the ledger is to be exact they come once at most. */
const counting = ['granted', 'released', 'doubted']

/**
 * Everybody hears of a new cap within 20 ms, and 20 ms later who was sent ahead is taken back; who had begun by then is
 * known to have 20 ms after that. From then on nobody may begin beyond it.
 */
const SETTLED_MS = 70

const RESERVATION_TIMEOUT_MS = 30_000
const PLACEMENT_TIMEOUT_MS = 5_000

type Sandbox = {
  workerId: string
  state: 'queued' | 'starting' | 'idle' | 'busy'
  invocation: symbol | undefined
  /** What waits behind the invocation that runs. */
  next: Next | undefined
  usedAtMs: number
}
type Next = { requestId: string; begin: () => void; reject: () => void }
type FrontEnd = { id: string; host: Host<typeof reservationsMachine>; isAlive: boolean }

export function seatsWorld(chance: Chance, options: WorldOptions) {
  const clock: SimulatedClock = simulatedClock()
  const log: KeptLog = keptLog()
  const broken: string[] = []
  const ends = new Map<string, End>()
  const sandboxes = new Map<string, Sandbox>()
  const deadWorkers = new Set<string>()
  const frontEnds: FrontEnd[] = []
  /** By request: the seats on which front ends run invocations. */
  const inUse = new Map<string, { frontEnd: string; seat: Seat; sinceMs: number }>()
  /** By request: those that were sent ahead and wait there, also where nobody knows about the seat any more. */
  const ahead = new Map<string, { frontEnd: string; seat: Seat }>()
  const usersOf = (sandboxId: string): string[] =>
    [...inUse.values()]
      .filter(({ seat }) => seat.sandboxId === sandboxId)
      .map(({ frontEnd }) => frontEnd)

  // ── The network: in order from one sender to one receiver ──────────────────────────────────────────────────────
  const lastArrivalMs = new Map<string, number>()
  const deliver = (link: string, type: string, arrive: () => void) => {
    // A request, whose sender would see that there is no answer.
    const isErrand = type === 'errand'
    if (!isErrand && options.lossy > 0 && chance(options.lossy) === 0) return
    const mayRepeat = !isErrand && !(options.isExact && counting.includes(type))
    const isRepeated = mayRepeat && options.repeating > 0 && chance(options.repeating) === 0
    const times = isRepeated ? 2 : 1
    for (let time = 0; time < times; time++) {
      const atMs = Math.max(clock.nowMs() + 1 + chance(20), lastArrivalMs.get(link) ?? 0)
      lastArrivalMs.set(link, atMs)
      clock.setTimer(arrive, atMs - clock.nowMs())
    }
  }
  const toPool = (from: string, event: PoolEvent) =>
    deliver(`${from}>pool`, event.type, () => hearPool(event))

  // ── Workers ────────────────────────────────────────────────────────────────────────────────────────────────────
  const workers = ['w1', 'w2']
  const isFull = (workerId: string) =>
    deadWorkers.has(workerId) ||
    [...sandboxes.values()].filter((sandbox) => sandbox.workerId === workerId).length >=
      options.room
  const place = (sandboxId: string) => {
    let isAnswered = false
    const answer = (event: PoolEvent) => () => {
      if (isAnswered) return
      isAnswered = true
      pool.send('p', event)
    }
    clock.setTimer(answer({ type: 'noRoom', sandboxId }), PLACEMENT_TIMEOUT_MS)
    const workerId = [...workers].sort(() => chance(2) - 0.5).find((id) => !isFull(id))
    if (workerId === undefined) {
      deliver('placement>pool', 'noRoom', answer({ type: 'noRoom', sandboxId }))
      return
    }
    sandboxes.set(sandboxId, {
      workerId,
      state: 'queued',
      invocation: undefined,
      next: undefined,
      usedAtMs: 0,
    })
    deliver('placement>pool', 'placed', answer({ type: 'placed', sandboxId, workerId }))
    clock.setTimer(() => {
      const queued = sandboxes.get(sandboxId)
      if (queued?.state !== 'queued') return
      queued.state = 'starting'
      clock.setTimer(() => {
        const sandbox = sandboxes.get(sandboxId)
        if (sandbox?.state !== 'starting') return
        sandbox.state = 'idle'
        sandbox.usedAtMs = clock.nowMs()
        toPool(workerId, { type: 'ready', sandboxId, workerId, atMs: clock.nowMs() })
      }, 20 + chance(200))
    }, chance(100))
  }
  const stop = ({ sandboxId, workerId }: Seat): void => {
    const sandbox = sandboxes.get(sandboxId)
    if (sandbox?.workerId !== workerId || sandbox.state === 'busy') return
    sandboxes.delete(sandboxId)
    toPool(workerId, { type: 'stopped', sandboxId, workerId })
  }
  const callOff = (seat: Seat): void => {
    if (sandboxes.get(seat.sandboxId)?.state === 'queued') stop(seat)
  }
  const reclaim = ({ sandboxId, workerId }: Seat) => {
    const sandbox = sandboxes.get(sandboxId)
    if (sandbox === undefined) toPool(workerId, { type: 'stopped', sandboxId, workerId })
    else if (sandbox.state === 'idle') {
      toPool(workerId, { type: 'freed', seats: [{ sandboxId, workerId }], atMs: clock.nowMs() })
    }
  }
  const showUnused = (workerId: string) => {
    const seats = [...sandboxes].flatMap(([sandboxId, sandbox]) =>
      sandbox.workerId === workerId &&
      sandbox.state === 'idle' &&
      sandbox.usedAtMs + 1_000 <= clock.nowMs()
        ? [{ sandboxId, workerId }]
        : [],
    )
    if (seats.length > 0) toPool(workerId, { type: 'freed', seats, atMs: clock.nowMs() })
  }

  // ── The pool ───────────────────────────────────────────────────────────────────────────────────────────────────
  const toFrontEnd = (id: string, event: ReservationsEvent) =>
    deliver(`pool>${id}`, event.type, () => hearFrontEnd(id, event))
  const pool: Host<typeof poolMachine> = host(poolMachine, {
    clock,
    log,
    duties: {
      grant: ({ frontEnd, seats }) => toFrontEnd(frontEnd, { type: 'granted', seats }),
      throttle: ({ frontEnd, keep, reason }) =>
        toFrontEnd(frontEnd, { type: 'throttled', keep, reason }),
      borrow: () => void broken.push('there is no other pool to borrow from'),
      audit: ({ frontEnd, owner, audit }) =>
        deliver(`pool>${frontEnd}`, 'audit', () => account(frontEnd, owner, audit)),
      recall: ({ frontEnd, count }) => toFrontEnd(frontEnd, { type: 'recalled', count }),
      place: ({ sandboxId }) => place(sandboxId),
      stop: (seat) => deliver(`pool>${seat.workerId}`, 'stop', () => stop(seat)),
      callOff: (seat) => deliver(`pool>${seat.workerId}`, 'callOff', () => callOff(seat)),
      reclaim: (seat) => deliver(`pool>${seat.workerId}`, 'reclaim', () => reclaim(seat)),
    },
  })
  let pools = 0
  /** What a new owner of the pool has found, if it has taken over from another. */
  const takeOver: Found[] = []
  let isOwned = true
  let ownedSinceMs = 0
  // ── The function's reserved concurrency: what is in force, and what each has heard of ──────────────────────────
  const heardCaps = new Map<string, number | undefined>()
  const capHeardBy = (who: string) => heardCaps.get(who)
  let cap: number | undefined
  /** The highest that somebody may still go by. */
  let toleratedCap = options.limit
  let capChanges = 0
  const tolerate = () => {
    const now = cap ?? options.limit
    toleratedCap = Math.max(toleratedCap, now)
    capChanges += 1
    const changes = capChanges
    clock.setTimer(() => {
      if (changes === capChanges) toleratedCap = cap ?? options.limit
    }, SETTLED_MS)
  }
  const limitHeard = () => ({
    limit: capHeardBy('pool') ?? options.limit,
    elsewhere: 0,
    reason: 'limit',
  })
  const hearPool = (event: PoolEvent) => {
    if (!isOwned) return
    if (pool.snapshot('p') === undefined) {
      if (event.type === 'want') {
        pool.start('p', {
          ...limitHeard(),
          prefix: `p${pools++}`,
          keepAliveMs: 10_000,
          graceMs: 50,
          roomAgainMs: 500,
          found: takeOver.splice(0),
        })
      } else if (event.type === 'ready') stop(event)
      else if (event.type === 'freed' || event.type === 'released') event.seats.forEach(stop)
    }
    if (pool.snapshot('p') !== undefined) pool.send('p', event)
  }

  // ── Front ends ─────────────────────────────────────────────────────────────────────────────────────────────────
  const settle = (requestId: string, end: End) => {
    const before = ends.get(requestId)
    if (before !== undefined) broken.push(`${requestId} is ${end} and was ${before}`)
    ends.set(requestId, end)
  }
  const holdersOf = (sandboxId: string) =>
    frontEnds.filter(
      ({ id, host: reservations, isAlive }) =>
        isAlive &&
        (usersOf(sandboxId).includes(id) ||
          reservations
            .snapshot('p')
            ?.context.line.free.some((seat) => seat.sandboxId === sandboxId)),
    )
  const look = (isBegun = false) => {
    if (!options.isExact) return
    for (const sandboxId of sandboxes.keys()) {
      const holders = holdersOf(sandboxId).map(({ id }) => id)
      if (holders.length > 1) broken.push(`${sandboxId} is held by ${holders}`)
    }
    // What ran on a dead worker runs no more, though nobody has noticed.
    const running = [...inUse.values()].filter(({ seat }) => sandboxes.has(seat.sandboxId)).length
    if (running > options.limit) broken.push(`${running} seats are in use`)
    // A recall that is lost is said again; and without an owner of the pool nobody says it.
    const isSettled = isOwned && clock.nowMs() > ownedSinceMs + SETTLED_MS
    if (!isBegun || options.lossy > 0 || !isSettled) return
    if (running > toleratedCap) broken.push(`${running} run where ${toleratedCap} are reserved`)
  }
  const want = (frontEnd: FrontEnd, requestId: string) => {
    if (frontEnd.host.snapshot('p') === undefined) {
      frontEnd.host.start('p', { askAgainMs: 200, quickMs: 100, cap: capHeardBy(frontEnd.id) })
    }
    frontEnd.host.send('p', { type: 'wanted', requestId })
  }
  const take = (frontEnd: FrontEnd, requestId: string, seat: Seat) => {
    const { sandboxId } = seat
    if (options.isExact && usersOf(sandboxId).length > 0) {
      broken.push(`${sandboxId} is given out while it is in use`)
    }
    inUse.set(requestId, { frontEnd: frontEnd.id, seat, sinceMs: clock.nowMs() })
    look(true)
  }
  const isMine = (requestId: string, seat: Seat) =>
    inUse.get(requestId)?.seat === seat || ahead.get(requestId)?.seat === seat
  const missed = (frontEnd: FrontEnd, requestId: string, seat: Seat) => {
    ahead.delete(requestId)
    if (inUse.delete(requestId)) frontEnd.host.send('p', { type: 'lost', seat })
    want(frontEnd, requestId)
  }
  const answered = (frontEnd: FrontEnd, requestId: string, seat: Seat) => {
    settle(requestId, 'done')
    const used = inUse.get(requestId)
    inUse.delete(requestId)
    if (ahead.delete(requestId)) frontEnd.host.send('p', { type: 'withdrawn', requestId })
    if (used === undefined) return
    const tookMs = clock.nowMs() - used.sinceMs
    frontEnd.host.send('p', { type: 'finished', seat, tookMs })
  }
  const send = (frontEnd: FrontEnd, requestId: string, seat: Seat, isAhead: boolean) => {
    const { sandboxId, workerId } = seat
    const back = (arrive: typeof answered) =>
      deliver(`${workerId}>${frontEnd.id}`, 'errand', () => {
        if (frontEnd.isAlive && isMine(requestId, seat)) arrive(frontEnd, requestId, seat)
      })
    const begin = (sandbox: Sandbox) => {
      const invocation = Symbol(requestId)
      sandbox.state = 'busy'
      sandbox.invocation = invocation
      clock.setTimer(() => {
        if (sandboxes.get(sandboxId)?.invocation !== invocation) return
        const { next } = sandbox
        sandbox.state = 'idle'
        sandbox.next = undefined
        sandbox.usedAtMs = clock.nowMs()
        back(answered)
        next?.begin()
      }, 1 + chance(300))
    }
    deliver(`${frontEnd.id}>${workerId}`, 'errand', () => {
      const sandbox = sandboxes.get(sandboxId)
      if (sandbox?.state === 'idle') begin(sandbox)
      else if (isAhead && sandbox?.state === 'busy' && sandbox.next === undefined) {
        sandbox.next = { requestId, begin: () => begin(sandbox), reject: () => back(missed) }
      } else {
        if (options.isExact && sandbox?.state === 'busy')
          broken.push(`${sandboxId} was to run two invocations`)
        back(missed)
      }
    })
  }
  const takeBack = (frontEnd: FrontEnd, requestId: string) => {
    const { sandboxId, workerId } = ahead.get(requestId)?.seat ?? { sandboxId: '', workerId: '' }
    deliver(`${frontEnd.id}>${workerId}`, 'takeBack', () => {
      const sandbox = sandboxes.get(sandboxId)
      if (sandbox?.next?.requestId !== requestId) return
      sandbox.next.reject()
      sandbox.next = undefined
    })
  }
  const openFrontEnd = (id: string): FrontEnd => {
    const tell = (event: PoolEvent) => toPool(id, event)
    const frontEnd: FrontEnd = {
      id,
      isAlive: true,
      host: host(reservationsMachine, {
        clock,
        log,
        duties: {
          seat: ({ requestId, seat }) => {
            take(frontEnd, requestId, seat)
            send(frontEnd, requestId, seat, false)
          },
          sendAhead: ({ requestId, seat }) => {
            ahead.set(requestId, { frontEnd: id, seat })
            send(frontEnd, requestId, seat, true)
          },
          begin: ({ requestId }) => {
            const seat = ahead.get(requestId)?.seat
            if (seat === undefined) broken.push(`${requestId} begins and was not sent ahead`)
            else take(frontEnd, requestId, seat)
            ahead.delete(requestId)
          },
          callBack: ({ requestId }) => takeBack(frontEnd, requestId),
          forsake: ({ requestId }) => takeBack(frontEnd, requestId),
          throttle: ({ requestId }) => settle(requestId, 'throttled'),
          redirect: ({ requestId }) => settle(requestId, 'redirected'),
          ask: (wish) => tell({ type: 'want', frontEnd: id, ...wish }),
          giveBack: ({ seats }) =>
            tell({ type: 'released', frontEnd: id, seats, atMs: clock.nowMs() }),
          reportLost: ({ seat }) => tell({ type: 'doubted', frontEnd: id, seat }),
        },
      }),
    }
    return frontEnd
  }
  const account = (id: string, owner: string, audit: number) => {
    const frontEnd = frontEnds.find((each) => each.id === id)
    if (frontEnd?.isAlive !== true) return
    const used = [...inUse.values()].flatMap(({ frontEnd, seat }) =>
      frontEnd === id ? [seat] : [],
    )
    const free = frontEnd.host.snapshot('p')?.context.line.free ?? []
    const seats = [...used, ...free].map(({ sandboxId, workerId }) => ({ sandboxId, workerId }))
    toPool(id, { type: 'holding', frontEnd: id, owner, audit, seats })
  }
  const hearFrontEnd = (id: string, event: ReservationsEvent) => {
    const frontEnd = frontEnds.find((each) => each.id === id)
    if (frontEnd?.isAlive !== true) return
    if (frontEnd.host.snapshot('p') !== undefined) frontEnd.host.send('p', event)
    else if (event.type === 'granted') {
      toPool(id, { type: 'released', frontEnd: id, seats: event.seats, atMs: clock.nowMs() })
    }
    look()
  }
  for (const id of ['a', 'b']) frontEnds.push(openFrontEnd(id))

  const every = (ms: number, work: () => void) => {
    const again = () => {
      work()
      clock.setTimer(again, ms)
    }
    clock.setTimer(again, ms)
  }
  every(1_000, () => pool.snapshot('p') && pool.send('p', { type: 'tick', atMs: clock.nowMs() }))
  every(1_000, () => {
    for (const { host: reservations, isAlive } of frontEnds) {
      if (isAlive && reservations.snapshot('p')) reservations.send('p', { type: 'aged' })
    }
  })

  for (const workerId of workers) every(5_000, () => showUnused(workerId))

  /** Front ends stop counting on a worker, whether it is dead or not. */
  const giveUpWorker = (workerId: string) => {
    for (const { id, host: reservations } of frontEnds.filter(({ isAlive }) => isAlive)) {
      if (reservations.snapshot('p') === undefined) continue
      reservations.send('p', { type: 'workerGone', workerId })
      for (const [requestId, { frontEnd, seat }] of inUse) {
        if (frontEnd !== id || seat.workerId !== workerId) continue
        inUse.delete(requestId)
        settle(requestId, 'failed')
        reservations.send('p', { type: 'lost', seat })
      }
      for (const [requestId, { frontEnd, seat }] of ahead) {
        if (frontEnd !== id || seat.workerId !== workerId) continue
        ahead.delete(requestId)
        settle(requestId, 'failed')
        reservations.send('p', { type: 'withdrawn', requestId })
      }
    }
  }

  let requests = 0
  return {
    clock,
    log,
    ends,
    broken,
    sandboxes,
    /** One request at one of the front ends that live. */
    invoke() {
      const alive = frontEnds.filter(({ isAlive }) => isAlive)
      const frontEnd = alive[chance(alive.length)] as FrontEnd
      const requestId = `r${requests++}`
      want(frontEnd, requestId)
      clock.setTimer(() => {
        const { waiting = [], returned = [] } = frontEnd.host.snapshot('p')?.context.line ?? {}
        const waits = waiting.includes(requestId) || returned.includes(requestId)
        if (!frontEnd.isAlive || !waits) return
        frontEnd.host.send('p', { type: 'withdrawn', requestId })
        settle(requestId, 'withdrawn')
      }, RESERVATION_TIMEOUT_MS)
    },
    killFrontEnd() {
      const frontEnd = frontEnds.find(({ isAlive }) => isAlive) as FrontEnd
      frontEnd.isAlive = false
      for (const [requestId, { frontEnd: holder }] of inUse) {
        if (holder !== frontEnd.id) continue
        inUse.delete(requestId)
        settle(requestId, 'failed')
      }
      for (const [requestId, { frontEnd: sender }] of ahead) {
        if (sender !== frontEnd.id) continue
        ahead.delete(requestId)
        settle(requestId, 'failed')
      }
      const { waiting = [], returned = [] } = frontEnd.host.snapshot('p')?.context.line ?? {}
      for (const requestId of [...returned, ...waiting]) settle(requestId, 'failed')
      frontEnd.host.forget('p')
      clock.setTimer(
        () => pool.snapshot('p') && pool.send('p', { type: 'frontEndGone', frontEnd: frontEnd.id }),
        900 + chance(900),
      )
    },
    killWorker(workerId: string) {
      deadWorkers.add(workerId)
      for (const [sandboxId, sandbox] of sandboxes) {
        if (sandbox.workerId === workerId) sandboxes.delete(sandboxId)
      }
      clock.setTimer(() => {
        giveUpWorker(workerId)
        if (pool.snapshot('p')) pool.send('p', { type: 'workerGone', workerId })
      }, 900 + chance(900))
    },
    /** Its beats were lost for a while; only some may think so. */
    misjudgeWorker(workerId: string) {
      const who = chance(3)
      if (who !== 0) giveUpWorker(workerId)
      if (who !== 1 && pool.snapshot('p')) pool.send('p', { type: 'workerGone', workerId })
    },
    misjudgeFrontEnd() {
      const frontEnd = frontEnds[0]?.id ?? ''
      if (pool.snapshot('p')) pool.send('p', { type: 'frontEndGone', frontEnd })
    },
    /** The pool's owner dies; another asks workers and front ends what there is, while messages go on being sent. */
    movePool() {
      pool.forget('p')
      isOwned = false
      clock.setTimer(() => {
        isOwned = true
        const found = new Map<string, Found>()
        for (const [sandboxId, { workerId, state }] of sandboxes) {
          const isComing = state === 'queued' || state === 'starting'
          const free = { is: 'free' as const, sinceMs: clock.nowMs() }
          const standing = isComing ? { is: 'placing' as const } : { is: 'doubtful' as const }
          found.set(sandboxId, {
            sandboxId,
            workerId,
            standing: state === 'idle' ? free : standing,
          })
        }
        for (const sandboxId of found.keys()) {
          const [holder] = holdersOf(sandboxId)
          const workerId = sandboxes.get(sandboxId)?.workerId ?? ''
          if (holder === undefined) continue
          found.set(sandboxId, {
            sandboxId,
            workerId,
            standing: { is: 'held', frontEnd: holder.id, audits: 0 },
          })
        }
        ownedSinceMs = clock.nowMs()
        takeOver.push(...found.values())
        if (found.size > 0) hearPool({ type: 'want', frontEnd: 'nobody', count: 0 })
      }, 300)
    },
    drainWorker(workerId: string) {
      deadWorkers.add(workerId)
      for (const { host: reservations, isAlive } of frontEnds) {
        if (isAlive && reservations.snapshot('p')) {
          reservations.send('p', { type: 'workerDraining', workerId })
        }
      }
      if (pool.snapshot('p')) pool.send('p', { type: 'workerDraining', workerId })
    },
    /** The function's reserved concurrency is set, changed, or taken away. */
    reserve(next: number | undefined) {
      cap = next
      tolerate()
      deliver('registry>pool', 'errand', () => {
        heardCaps.set('pool', next)
        if (pool.snapshot('p')) pool.send('p', { type: 'limited', ...limitHeard() })
      })
      for (const { id, host: reservations, isAlive } of frontEnds) {
        if (!isAlive) continue
        deliver(`registry>${id}`, 'errand', () => {
          heardCaps.set(id, next)
          if (reservations.snapshot('p')) reservations.send('p', { type: 'capped', cap: next })
        })
      }
    },
    get requests() {
      return requests
    },
    /** What should be nothing when everybody is gone. */
    left: () => ({
      sandboxes: [...sandboxes].map(([id, { state }]) => `${id} ${state}`),
      inUse: [...inUse.keys(), ...ahead.keys()],
      pool: pool.snapshot('p')?.context.ledger,
      frontEnds: frontEnds.flatMap(({ host: reservations }) => [...reservations.instances()]),
    }),
  }
}
