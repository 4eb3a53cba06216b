/**
 * The inboxes of durable actors: events that survive every crash until they have been handled, and timers that are
 * events to come.
 *
 * One stream holds them all. It is a work queue: an acknowledgement deletes the event, so that kill -9 of the server does
 * not bring back what was acknowledged (on other streams it does, for about 100 ms). A timer is a message that the server
 * schedules into the inbox; nobody may consume the schedules themselves. A stream with schedules cannot refuse messages
 * when it is full (`discard: new`), so it has no limits.
 *
 * What is posted with an id is taken once while the server remembers the id. It forgets those of handled events when it
 * is restarted, so a handler must be able to bear a repeat: it sees `sequence` and `id`.
 * Source: reference nats.md §0.8, §0.10, §2.9, §2.10; the forgetting was measured on nats-server 2.15.1.
 */
import { RetentionPolicy, StorageType } from '@nats-io/jetstream'
import { headers, nanos } from 'nats'
import type { Bus, Log } from './bus.ts'
import { type Consumption, consume, type Handle } from './durable-delivery.ts'
import { encodeToken } from './encoded-token.ts'
import { askOnce, insist } from './insist.ts'
import { ensureStream } from './streams.ts'
import { alarm, anyAlarm, durable, durableStream, eventIdHeader, everyDurable } from './subjects.ts'

/** What is posted: JSON, with a type that is not one of XState's own (`xstate.…`). */
export type DurableEvent = { type: string; [member: string]: unknown }

export type DurableInbox = {
  /**
   * Stores an event for an actor and returns its sequence; when the same `id` was posted a while ago (ten minutes), the
   * sequence of then. With an id it is posted until the server has acknowledged it, without one it is posted once.
   * Throws BusError BUS_STORE_UNAVAILABLE (it may be stored all the same) and BUS_PAYLOAD_TOO_LARGE.
   */
  post(
    machine: string,
    instance: string,
    event: DurableEvent,
    options?: { id?: string },
  ): Promise<number>
  /**
   * Stores an event that comes to the actor at `atMs` (milliseconds since the epoch, by the server's clock; 0–250 ms late;
   * the past means now). One timer has one event to come: a later call replaces it, if its `id` is another one.
   * Throws as `post` does.
   */
  postLater(
    machine: string,
    instance: string,
    timer: string,
    event: DurableEvent,
    atMs: number,
    id: string,
  ): Promise<void>
  /** Takes back what is still to come of a timer. An event that has already come stays. */
  cancelLater(machine: string, instance: string, timer: string): Promise<void>
  /**
   * Hears the events of a machine's actors, together with all other processes that do. Resolves when it is listening.
   *
   * Events of one actor are handled one at a time and in order within a process, those of different actors at the same
   * time, up to `concurrency`. Across processes there is no order: two may handle one actor at the same moment, and the
   * revision in the store decides; what one gives back when it stops may come to the next in another order.
   *
   * An event is acknowledged when `handle` has resolved. When it throws, the event comes again after 100 ms, then twice as
   * long each time, up to 30 s, and younger events of the same actor wait for it. `ackWaitMs`: how long a process that says
   * nothing any more keeps its events.
   */
  consume(
    machine: string,
    handle: Handle,
    options: { concurrency: number; ackWaitMs: number; log?: Log },
  ): Promise<Consumption>
}

// Longer than a crashed process takes to be replaced and to repeat the effects that it owed.
const REMEMBERED_MS = 600_000

/** Makes sure of the stream. Throws as `ensureStream` does. */
export async function openDurableInbox(bus: Bus): Promise<DurableInbox> {
  const ensure = () =>
    ensureStream(bus, {
      name: durableStream,
      subjects: [everyDurable, anyAlarm],
      retention: RetentionPolicy.Workqueue,
      storage: StorageType.File,
      allow_msg_schedules: true,
      allow_msg_ttl: true,
      duplicate_window: nanos(REMEMBERED_MS),
    })
  await ensure()
  const inbox = (machine: string, instance: string) =>
    durable(encodeToken(machine), encodeToken(instance))
  const timerOf = (machine: string, instance: string, timer: string) =>
    alarm(encodeToken(machine), encodeToken(instance), encodeToken(timer))

  return {
    async post(machine, instance, event, { id } = {}) {
      const subject = inbox(machine, instance)
      const body = JSON.stringify(event)
      if (id === undefined) {
        return (await askOnce(bus, subject, () => bus.jetstream.publish(subject, body))).seq
      }
      const options = { msgID: id, headers: withId(id) }
      return (await insist(bus, subject, () => bus.jetstream.publish(subject, body, options))).seq
    },

    async postLater(machine, instance, timer, event, atMs, id) {
      const subject = timerOf(machine, instance, timer)
      const schedule = { specification: new Date(atMs), target: inbox(machine, instance) }
      const body = JSON.stringify(event)
      const options = { msgID: id, headers: withId(id), schedule }
      await insist(bus, subject, () => bus.jetstream.publish(subject, body, options))
    },

    async cancelLater(machine, instance, timer) {
      const subject = timerOf(machine, instance, timer)
      await insist(bus, subject, async () => {
        const manager = await bus.jetstreamManager()
        await manager.streams.purge(durableStream, { filter: subject })
      })
    },

    consume: (machine, handle, options) => consume(bus, { ...options, machine, handle, ensure }),
  }
}

/** Beside `Nats-Msg-Id`, which the server takes off a message that it has scheduled. */
function withId(id: string) {
  const carrying = headers()
  carrying.set(eventIdHeader, id)
  return carrying
}
