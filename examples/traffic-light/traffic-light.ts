/** A machine that lambus has never seen, as an actor on NATS. How to run it and talk to it: README.md. */
import { host } from 'lambus/actors'
import { openBus } from 'lambus/bus'
import { systemClock as clock } from 'lambus/clock'
import { effect, withEffects } from 'lambus/machines/effect'
import { onBus } from 'lambus/on-bus'
import { pino } from 'pino'
import { setup } from 'xstate'

const effects = { show: effect<{ colour: string }>() }
const show = (colour: string) => ({ type: 'show' as const, params: { colour } })

const trafficLight = setup({
  types: {} as { events: { type: 'walk' } | { type: 'power.off' } },
  actions: effects,
}).createMachine({
  id: 'traffic-light',
  initial: 'green',
  on: { 'power.off': '.dark' },
  states: {
    green: { entry: show('green'), on: { walk: 'yellow' } },
    yellow: { entry: show('yellow'), after: { 1000: 'red' } },
    red: { entry: show('red'), after: { 5000: 'green' } },
    dark: { entry: show('dark'), type: 'final' },
  },
})

const servers = process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222'
const bus = await openBus({ servers, role: 'example', id: 'traffic-light' })
const lights = host(withEffects(trafficLight, effects), {
  clock,
  log: pino(),
  duties: { show: ({ colour }, light) => bus.publish(`traffic.${light}`, colour) },
  ended: () => void bus.close(),
})
onBus(lights, bus)
lights.start('main-street', undefined)
