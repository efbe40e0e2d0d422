/** Multi-head routing: tasks mix parts of skills apart. Caccia et al., NeurIPS 2023. */
import { skillsType } from "../skills.ts";

export const method = skillsType(
  {
    name: "mhr",
    title: "Multi-head routing",
    about: "as poly, mixing each part of a layer's inputs and outputs by gates of its own",
    cite: "arXiv:2211.03831",
  },
  { rank: 16, skills: 8, splits: 8 },
);
