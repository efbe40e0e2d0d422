/**
 * Random search: every trial is a point of the space, all places of the unit cube equally likely. The first is the
 * default.
 *
 * Bergstra and Bengio, JMLR 2012, https://www.jmlr.org/papers/v13/bergstra12a.html
 */
import { Random } from "../../data/random.ts";
import { defineSearch } from "../../run/searching/contract.ts";
import { defaults, pointAt } from "../../run/searching/space.ts";

export const method = defineSearch({
  name: "random",
  title: "Random search",
  about: "points drawn evenly from the space, the defaults first",
  cite: "https://www.jmlr.org/papers/v13/bergstra12a.html",
  objectives: "any",
  independent: true,
  options: {},

  make({ space, seed }) {
    let trial = 0;
    return {
      ask() {
        if (trial === 0) {
          trial++;
          return [{ values: defaults(space) }];
        }
        const random = new Random(seed, "random", trial++);
        return [
          {
            values: pointAt(
              space,
              space.map(() => random.uniform()),
            ),
          },
        ];
      },
      tell() {},
    };
  },
});
