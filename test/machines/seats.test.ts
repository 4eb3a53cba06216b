import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anyChance, type Chance } from '../seed.ts'
import { seatsWorld, type WorldOptions } from './seats-world.ts'

type World = ReturnType<typeof seatsWorld>
type Trouble = (world: World, chance: Chance) => void

const nothing = { sandboxes: [], inUse: [], pool: undefined, frontEnds: [] }

/** Two hundred requests within ten seconds, and something that happens in between; then everybody goes home. */
function play(chance: Chance, options: WorldOptions, trouble?: Trouble): World {
  const world = seatsWorld(chance, options)
  const troubleAt = chance(200)
  for (let request = 0; request < 200; request++) {
    if (request === troubleAt) trouble?.(world, chance)
    world.invoke()
    if (chance(4) === 0) world.clock.advance(chance(200))
  }
  world.clock.advance(120_000)
  expect(world.broken).toEqual([])
  expect(world.log.lines).toEqual([])
  expect(world.ends.size).toBe(world.requests)
  expect(world.left()).toEqual(nothing)
  return world
}

const calm: WorldOptions = { limit: 20, room: 50, lossy: 0, repeating: 0, isExact: true }
const endsOf = ({ ends }: World) => new Set(ends.values())

const plays = (options: WorldOptions, check: (world: World) => void, trouble?: Trouble) =>
  fc.assert(
    fc.property(anyChance, (chance) => check(play(chance, options, trouble))),
    { numRuns: 40, endOnFailure: true },
  )

/** The function's reserved concurrency changes now and then, for ten seconds. */
const reserves: Trouble = (world, chance) => {
  const change = (left: number) => {
    world.reserve(chance(5) === 0 ? undefined : chance(5))
    if (left > 0) world.clock.setTimer(() => change(left - 1), chance(1_500))
  }
  change(10)
}

describe('front ends, a pool and workers together', () => {
  // lambda-semantics.md §3.3.
  test('never more begin than are reserved, whenever that changes', () => {
    plays(
      calm,
      (world) => {
        for (const end of endsOf(world)) expect(['done', 'throttled']).toContain(end)
      },
      reserves,
    )
  })

  test('never more begin than are reserved, where workers are full', () => {
    plays({ ...calm, room: 2 }, () => {}, reserves)
  })

  test('never more begin than are reserved, when somebody dies and another owner takes over', () => {
    plays(
      calm,
      () => {},
      (world, chance) => {
        reserves(world, chance)
        if (chance(2) === 0) world.killFrontEnd()
        if (chance(2) === 0) world.killWorker('w1')
        if (chance(2) === 0) world.movePool()
      },
    )
  })

  test('what is reserved leaves nothing behind when messages are lost', () => {
    plays({ ...calm, lossy: 8, repeating: 8 }, () => {}, reserves)
  })

  test('as many as are reserved run, at whichever front end they come in', () => {
    fc.assert(
      fc.property(anyChance, (chance) => {
        const world = seatsWorld(chance, { ...calm, limit: 500 })
        world.reserve(4)
        world.clock.advance(100)
        for (let left = 200; left > 0; ) {
          if (world.requests - world.ends.size >= 4) world.clock.advance(1)
          else {
            world.invoke()
            left -= 1
          }
          if (chance(30) === 0) world.clock.advance(chance(3_000))
        }
        world.clock.advance(120_000)
        expect(world.broken).toEqual([])
        expect(endsOf(world)).toEqual(new Set(['done']))
        expect(world.left()).toEqual(nothing)
      }),
      { numRuns: 40, endOnFailure: true },
    )
  })

  test('with room below the limit every request is served', () => {
    plays({ ...calm, limit: 500, room: 250 }, (world) => {
      expect(endsOf(world)).toEqual(new Set(['done']))
    })
  })

  test('at the limit every request is served or throttled, and nobody waits in vain', () => {
    plays({ ...calm, limit: 3 }, (world) => {
      for (const end of endsOf(world)) expect(['done', 'throttled']).toContain(end)
    })
  })

  test('where workers are full, nobody is throttled: who waits takes what comes back', () => {
    plays({ ...calm, limit: 500, room: 3 }, (world) => {
      expect(endsOf(world)).toEqual(new Set(['done']))
    })
  })

  test('messages that are lost cost time and no seat', () => {
    plays({ ...calm, lossy: 10 }, (world) => {
      for (const end of endsOf(world)) expect(['done', 'throttled', 'withdrawn']).toContain(end)
    })
  })

  test('where one message in three is lost, every seat is found again', () => {
    plays({ ...calm, lossy: 3 }, () => {})
  })

  test('levels that come twice do no harm', () => {
    plays({ ...calm, repeating: 5 }, (world) => {
      for (const end of endsOf(world)) expect(['done', 'throttled']).toContain(end)
    })
  })

  test('grants and returns that come twice, or not at all, leave nothing behind', () => {
    plays({ ...calm, repeating: 5, lossy: 10, isExact: false }, (world) => {
      for (const end of endsOf(world)) expect(['done', 'throttled', 'withdrawn']).toContain(end)
    })
  })

  test('a front end that dies leaves no seat behind', () => {
    plays(
      calm,
      () => {},
      (world) => world.killFrontEnd(),
    )
  })

  test('a worker that dies fails what runs on it, and nothing else', () => {
    plays(
      calm,
      (world) => {
        expect([...endsOf(world)]).not.toContain('withdrawn')
      },
      (world) => world.killWorker('w1'),
    )
  })

  test('a worker that is wrongly taken for dead is of use again, and what nobody knows of there stops', () => {
    plays(
      { ...calm, limit: 500, isExact: false },
      () => {},
      (world, chance) => {
        world.misjudgeWorker('w1')
        if (chance(2) === 0) world.misjudgeWorker('w2')
      },
    )
  })

  test('a front end that is wrongly taken for dead shares its seats with others until it lets go', () => {
    plays(
      { ...calm, isExact: false },
      (world) => {
        for (const end of endsOf(world)) expect(['done', 'throttled']).toContain(end)
      },
      (world) => world.misjudgeFrontEnd(),
    )
  })

  test('a worker that leaves fails nothing', () => {
    plays(
      calm,
      (world) => {
        expect([...endsOf(world)]).not.toContain('failed')
      },
      (world) => world.drainWorker('w1'),
    )
  })

  test('a pool that another owner takes over goes on with what there is', () => {
    plays(
      calm,
      (world) => {
        for (const end of endsOf(world)) expect(['done', 'throttled']).toContain(end)
      },
      (world) => world.movePool(),
    )
  })

  test('another owner takes over while messages are lost, and nothing is held by two', () => {
    plays(
      { ...calm, limit: 5, lossy: 8, repeating: 8 },
      () => {},
      (world) => world.movePool(),
    )
  })

  test('all of it at once, and messages are lost', () => {
    plays(
      { ...calm, limit: 5, room: 4, lossy: 10 },
      () => {},
      (world) => {
        world.killFrontEnd()
        world.killWorker('w1')
      },
    )
  })

  test('all of it at once, messages are lost and come twice, and another owner takes over', () => {
    plays(
      { limit: 5, room: 4, lossy: 5, repeating: 5, isExact: false },
      () => {},
      (world) => {
        world.misjudgeFrontEnd()
        world.misjudgeWorker('w2')
        world.killWorker('w1')
        world.movePool()
      },
    )
  })
})
