/**
 * The durable binding of the loop: decide → store → do → acknowledge.
 *
 * An event arrives through a work queue. It is stepped through the machine; then the new state, the effects that it owes
 * and the sequence of the event are stored in one write, with the expected revision; only then are the effects
 * performed, and at last the event is acknowledged. A process that dies in between leaves an unacknowledged event, which
 * comes again, here or elsewhere:
 *
 *     died before the store    the event is stepped as if for the first time
 *     died after the store     its sequence is among those handled: the owed effects are performed, nothing is stepped
 *     died before the ack      the same; the effects are performed a second time
 *
 * So an effect may be repeated and is never lost. Each carries a key, `<instance>:<sequence>:<index>`, the same at every
 * repeat, by which whoever receives it can tell. The sequence is the event's, which never comes twice; steps would be
 * counted anew by a successor of the same name, whose effects would then pass for repeats of its predecessor's. No process owns an actor: any may take its next event, and of two that
 * do so at once, one finds another revision and loads again.
 *
 * Timers are messages scheduled into the actor's own inbox, so they outlive every process.
 * Source of the order: etcd/raft, which asks the same of its callers (raft/node.go, "Ready").
 */
import type { AnyMachineSnapshot, EventObject, SnapshotFrom } from 'xstate'
import type { ActorStore, StoredActor } from '../bus/actor-store.ts'
import type { Clock, Log } from '../bus/bus.ts'
import type { DurableInbox } from '../bus/durable-inbox.ts'
import type { Effects } from '../machines/effect.ts'
import { type Asked, type HostedMachine, isIgnored, stepper } from './step.ts'

/** What an effect is told beside its parameters. */
export type DurableContext = {
  instance: string
  /** The same at every repeat of this effect; a good `Nats-Msg-Id`. */
  key: string
}

/** The duties of a durable actor: awaited, in order; one that rejects is performed again when the event comes again. */
export type DurableTable<E extends Effects> = {
  [Name in keyof E]: E[Name] extends (_: unknown, params: infer Params) => void
    ? (params: Params, context: DurableContext) => void | Promise<void>
    : never
}

export type DurableBinding<Machine extends HostedMachine> = {
  duties: DurableTable<Machine['effects']>
  store: ActorStore
  inbox: DurableInbox
  clock: Clock
  log: Log
  /** A unique id for each write, by which a lost acknowledgement is told from a conflict. */
  newId: () => string
  concurrency?: number
  ackWaitMs?: number
  /** Loads every actor anew for each event: how tests prove that nothing lives beside the state. */
  reloading?: boolean
  /** Where a test lets the process die. */
  crash?: (point: 'before the store' | 'after the store' | 'before the ack') => void
}

export type DurableHost = {
  /** Puts an event into an actor's inbox; resolves when it is stored. An `id` makes a repeat harmless. */
  post(instance: string, event: EventObject, options?: { id?: string }): Promise<void>
  readonly counts: { steps: number; repeats: number; conflicts: number; deadLetters: number }
  /** Takes no more events; resolves when those in hand are done. */
  stop(): Promise<void>
}

/** How many sequences are remembered as handled: more than can be waiting for one actor's second delivery. */
const REMEMBERED = 128

type Loaded<Machine extends HostedMachine> = {
  snapshot: SnapshotFrom<Machine> | undefined
  step: number
  handled: number[]
  owed: Asked[]
  revision: number
  /** Whether the owed effects were performed by this process, as far as it knows. */
  isPaid: boolean
}

export function durable<Machine extends HostedMachine>(
  machine: Machine,
  {
    duties,
    store,
    inbox,
    clock,
    log,
    newId,
    concurrency = 16,
    ackWaitMs = 30_000,
    reloading = false,
    crash = () => {},
  }: DurableBinding<Machine>,
): DurableHost {
  const name = machine.id
  const steps = stepper(machine)
  const counts = { steps: 0, repeats: 0, conflicts: 0, deadLetters: 0 }
  const known = new Map<string, Loaded<Machine>>()
  const events = new Set(machine.events as string[])

  const load = async (instance: string): Promise<Loaded<Machine>> => {
    const cached = known.get(instance)
    if (cached !== undefined) return cached
    const found = await store.load(name, instance)
    if (found === undefined) {
      return { snapshot: undefined, step: 0, handled: [], owed: [], revision: 0, isPaid: true }
    }
    const { document, revision } = found
    return {
      snapshot: steps.resume(document),
      step: document.step,
      handled: document.handled,
      owed: document.owed as Asked[],
      revision,
      isPaid: false,
    }
  }

  const handle = async (instance: string, event: EventObject, sequence: number): Promise<void> => {
    for (;;) {
      const loaded = await load(instance)
      if (loaded.handled.includes(sequence)) {
        counts.repeats++
        await pay(instance, loaded)
        return
      }
      // What an earlier event owes comes before what this one will: another process may have died in between.
      if (!loaded.isPaid) {
        await pay(instance, loaded)
        // It had come to its end, and is now removed: this event is for whoever comes after it.
        if (isOver(loaded)) continue
      }
      const next = take(loaded, event, sequence)
      if (next === undefined) {
        counts.deadLetters++
        return
      }
      crash('before the store')
      const revision = await store.save(name, instance, documentOf(next), loaded.revision)
      if (revision === 'conflict') {
        counts.conflicts++
        known.delete(instance)
        continue
      }
      counts.steps++
      if (log.isLevelEnabled?.('debug') === true) {
        const { value } = next.snapshot as AnyMachineSnapshot
        log.debug({ machine: name, instance, event: event.type, state: value }, 'step')
      }
      crash('after the store')
      await pay(instance, { ...next, revision })
      crash('before the ack')
      return
    }
  }

  /** The state after an event, with what it owes; undefined when the machine has no use for the event. */
  const take = (
    loaded: Loaded<Machine>,
    event: EventObject,
    sequence: number,
  ): Loaded<Machine> | undefined => {
    // A timer that rings for an actor that is no more must not bring it back.
    if (loaded.snapshot === undefined && event.type.startsWith('xstate.')) return undefined
    const before = loaded.snapshot ?? steps.begin(undefined as never)
    const begun = 'asked' in before ? before : { snapshot: before, asked: [] as Asked[] }
    const next = steps.step(begun.snapshot as SnapshotFrom<Machine>, event)
    if (isIgnored(begun.snapshot, next)) return undefined
    return {
      snapshot: next.snapshot,
      step: loaded.step + 1,
      handled: [...loaded.handled.slice(1 - REMEMBERED), sequence],
      owed: withoutReplaced([...begun.asked, ...next.asked]),
      revision: loaded.revision,
      isPaid: false,
    }
  }

  const documentOf = ({ snapshot, step, handled, owed }: Loaded<Machine>): StoredActor => {
    const { value, context, status } = snapshot as AnyMachineSnapshot
    return { value, context, status, step, handled, owed, write: newId() }
  }

  /** Performs what is owed, and forgets or removes the actor accordingly. */
  const pay = async (instance: string, loaded: Loaded<Machine>): Promise<void> => {
    const sequence = loaded.handled.at(-1)
    for (const [index, { type, params }] of loaded.owed.entries()) {
      await perform(type, params, { instance, key: `${instance}:${sequence}:${index}` })
    }
    loaded.isPaid = true
    if (isOver(loaded)) {
      known.delete(instance)
      await store.remove(name, instance, loaded.revision)
    } else if (!reloading) {
      known.set(instance, loaded)
    }
  }

  const table = duties as Record<string, (params: unknown, context: DurableContext) => unknown>

  const perform = async (type: string, params: unknown, context: DurableContext): Promise<void> => {
    if (type === 'xstate.raise') {
      const { id, delay, event } = params as { id: string; delay?: number; event: EventObject }
      if (delay === undefined) return
      const at = clock.nowMs() + delay
      await inbox.postLater(
        name,
        context.instance,
        id,
        { ...event, type: alarmOf(event.type) },
        at,
        context.key,
      )
      return
    }
    if (type === 'xstate.cancel') {
      await inbox.cancelLater(name, context.instance, (params as { sendId: string }).sendId)
      return
    }
    const duty = table[type]
    if (duty === undefined) throw new Error(`${name}: nobody performs '${type}'`)
    await duty(params, context)
  }

  for (const effect of Object.keys(machine.effects)) {
    if (table[effect] === undefined) throw new Error(`${name}: nobody performs '${effect}'`)
  }

  const consumer = inbox.consume(
    name,
    async ({ instance, event, sequence }) => {
      const trusted = eventOf(event)
      if (!events.has(trusted.type) && !trusted.type.startsWith('xstate.after.')) {
        counts.deadLetters++
        log.warn(
          { code: 'ACTOR_UNKNOWN_EVENT', machine: name, instance, event: event.type },
          'dropped an event that its machine does not know',
        )
        return
      }
      try {
        await handle(instance, trusted, sequence)
      } catch (error) {
        known.delete(instance)
        log.error(
          { code: 'ACTOR_STEP_FAILED', machine: name, instance, event: event.type, err: error },
          'an event was not finished; it will come again',
        )
        throw error
      }
    },
    { concurrency, ackWaitMs },
  )

  return {
    counts,
    post: async (instance, event, { id } = {}) => {
      await inbox.post(name, instance, event, id === undefined ? {} : { id })
    },
    stop: async () => (await consumer).stop(),
  }
}

const isOver = ({ snapshot }: { snapshot: unknown }): boolean =>
  snapshot !== undefined && (snapshot as AnyMachineSnapshot).status !== 'active'

/**
 * A timer that is set anew is not cancelled first: setting it replaces it. Performed a second time, the cancelling would
 * take back the timer just set, and setting it again would pass for a repeat.
 */
const withoutReplaced = (asked: Asked[]): Asked[] =>
  asked.filter(
    ({ type, params }, index) =>
      type !== 'xstate.cancel' ||
      !asked
        .slice(index)
        .some(
          (later) =>
            later.type === 'xstate.raise' &&
            (later.params as { id: string }).id === (params as { sendId: string }).sendId,
        ),
  )

/**
 * XState's own event for a timer begins with `xstate.`, which nothing from the bus may. In the inbox it has a name of
 * ours; who can write to the inbox can ring a timer early, and nothing else.
 */
const ALARM = 'alarm:'
const alarmOf = (type: string): string => `${ALARM}${type}`
const eventOf = (event: EventObject): EventObject =>
  event.type.startsWith(`${ALARM}xstate.after.`)
    ? { ...event, type: event.type.slice(ALARM.length) }
    : event
