/*
 * An assignment rises by one with every send to another node. A job that is run again after its end begins a new life:
 * its assignment goes to the next multiple of SENDS, above that of every copy of its earlier life wherever one is. So a
 * late word of the earlier life is told from the first word of the new one, though no two of its nodes ever speak.
 */

/** Far more sends than a job ever sees, and 8,191 lives within a column of 32 bits. */
const SENDS = 2 ** 18;
/** Above it an assignment fits neither the databases nor the protocol. */
export const HIGHEST_ASSIGNMENT = 2 ** 31 - 1;

export const lifeOf = (assignment: number): number => Math.floor(assignment / SENDS);

/** The first assignment of the life after the one this belongs to. */
export const nextLife = (assignment: number): number => Math.min((lifeOf(assignment) + 1) * SENDS, HIGHEST_ASSIGNMENT);
