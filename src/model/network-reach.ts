// Knows which ways out the routes and rules of a network namespace leave (ip-route(8), ip-rule(8)).

import {isRefusal, type Seen} from './fact.ts';
import type {Interface, Route, Rule} from './network.ts';

const MAIN = 254;
/** What each namespace begins with. */
const FIRST_RULES: readonly Rule[] = [{version: 4, priority: 32766, selector: 'from all', table: MAIN}];

/** Default routes by one table. `rule`: only what is told so is led to that. */
export type Way = {readonly table: number; readonly rule: boolean; readonly routes: readonly Route[]};

const isEverything = (selector: string): boolean => selector === 'from all';
const tableOf = (route: Route): number => route.table ?? MAIN;
/** /proc does not tell these apart. */
const isRefusing = ({type = ''}: Route): boolean => /blackhole|unreachable|prohibit/.test(type);

/** What is asked for what: in turn, as far as anything is. An unknown action is passed over. */
function* steps(
  rules: readonly Rule[],
  interfaces: readonly Interface[],
): Generator<{table: number; rule: boolean; exact: boolean} | 'ends'> {
  let from = 0;
  for (const {priority, selector, table, action, goto, l3mdev = false, suppressPrefix = -1} of rules) {
    if (priority < from) continue;
    const rule = !isEverything(selector);
    if (goto !== undefined) {
      if (!rule) from = goto;
    } else if (action !== undefined) {
      if (!rule && action !== 'nop') yield 'ends';
    } else if (l3mdev) {
      // Of what passes by a vrf, the table of that.
      for (const {kind, detail = ''} of interfaces)
        if (kind === 'vrf') yield {table: Number(detail.replace('table ', '')), rule: true, exact: false};
    } else if (table !== undefined) yield {table, rule, exact: suppressPrefix >= 0};
  }
}

/** Routes of one kind in a table that are taken: of those to the same place, the lowest metric is. */
function taken(routes: readonly Route[]): {ways: Route[]; ends: boolean} {
  const defaults = routes.filter(({to}) => to === 'default');
  const metric = (route: Route): number => route.metric ?? 0;
  const refuse = defaults.filter(route => isRefusing(route) || route.type === 'throw');
  const limit = Math.min(...refuse.map(metric));
  const ways = defaults.filter(route => route.type === undefined && metric(route) < limit);
  const isLeft = ways.some(({state}) => state === undefined);
  return {ways, ends: isLeft || refuse.some(route => isRefusing(route) && metric(route) === limit)};
}

/** The ways out of the namespace, and the other routes by a gateway, of the tables that a rule leads to. */
export function waysOut(
  routes: readonly Route[],
  rules: Seen<readonly Rule[]> | undefined,
  interfaces: readonly Interface[],
): {out: Way[]; beyond: Route[]} {
  const out: Way[] = [];
  const beyond: Route[] = [];
  for (const version of [4, 6]) {
    const own = routes.filter(route => route.version === version);
    const told = (rules === undefined || isRefusal(rules) ? [] : rules).filter(rule => rule.version === version);
    // Of a kernel that has one table only, or not to be known.
    const known = told.length > 0;
    const others = [...new Set(own.map(tableOf))].filter(table => table !== MAIN);
    const asked = known ? told : [...FIRST_RULES, ...others.map(table => ({...FIRST_RULES[0], selector: '?', table}) as Rule)];
    const met = new Set<number>();
    for (const step of steps(asked, interfaces)) {
      if (step === 'ends') break;
      const {table, rule, exact} = step;
      const here = own.filter(route => tableOf(route) === table);
      const via = here.filter(({to, via: gateway, type}) => gateway !== undefined && type === undefined && to !== 'default');
      if (!met.has(table)) beyond.push(...via);
      const {ways, ends} = exact ? {ways: [], ends: false} : taken(here);
      const earlier = out.find(way => way.table === table && way.routes[0]?.version === version);
      if (ways.length > 0 && earlier === undefined) out.push({table, rule, routes: ways});
      else if (earlier !== undefined && !rule) out[out.indexOf(earlier)] = {...earlier, rule: false};
      met.add(table);
      if (ends && !rule) break;
    }
  }
  return {out, beyond};
}
