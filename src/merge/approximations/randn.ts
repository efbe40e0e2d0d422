/** Standard normal values; --new-vocab-scale makes them as small as the model's rows are. */
import { Random } from "../../data/random.ts";
import { approximation } from "../approximation.ts";

export const method = approximation({
  name: "randn",
  title: "Normal noise",
  about: "standard normal values",
  cite: "mergekit",
  options: {},
  needs: [],
  async rows({ own, wanted, key }) {
    return (place) => {
      const random = new Random(...key, "randn", wanted[place]!.id);
      return Float64Array.from({ length: own.columns }, () => random.normal());
    };
  },
});
