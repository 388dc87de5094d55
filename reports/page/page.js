'use strict';
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId('report-data').textContent);
  const SVG = 'http://www.w3.org/2000/svg';
  const METRICS = [
    {key: 0, name: '1 − cosine', gate: 'cosine'},
    {key: 1, name: 'NMSE', gate: 'nmse'},
    {key: 2, name: '|norm ratio − 1|', gate: 'norm_ratio_error'},
  ];
  const MODES = [
    {key: 'local', name: 'Local', what: 'what each operation adds, fed the other side’s own inputs'},
    {key: 'free', name: 'Free-running', what: 'with everything inherited from earlier operations'},
  ];
  const ALL = -1;

  // A cell: [1 - cosine, NMSE, |norm ratio - 1|, max abs, comparisons, failed, case, step].
  const number = (v) => typeof v === 'number' ? v : v === 'inf' ? Infinity : v === '-inf' ? -Infinity : NaN;
  const badness = (v) => { const x = number(v); return Number.isNaN(x) ? Infinity : x; };
  const figure = (v) => {
    const x = number(v);
    if (Number.isNaN(x)) return 'NaN';
    if (!Number.isFinite(x)) return x > 0 ? '∞' : '−∞';
    if (x === 0) return '0';
    const a = Math.abs(x);
    const text = a >= 0.001 && a < 100000 ? String(Number(x.toPrecision(3))) : x.toExponential(2).replace('e+', 'e');
    return text.replace(/-/g, '−');
  };
  const grouped = (n) => n.toLocaleString('en');

  function node(tag, attributes, ...children) {
    const e = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === 'class') e.className = value;
      else e.setAttribute(name, value);
    }
    e.append(...children);
    return e;
  }
  function shape(tag, attributes, ...children) {
    const e = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes || {})) e.setAttribute(name, value);
    e.append(...children);
    return e;
  }

  // ---- cells ---------------------------------------------------------------------------------------------------
  const layerKeys = (mode, tap) => Object.keys((data.cells[mode] || {})[tap] || {});
  const rowsOf = (mode, tap, layer) => ((data.cells[mode] || {})[tap] || {})[layer] || [];

  // The worst of several cells, each figure by itself; the place is the worst one's.
  function combine(cells) {
    let out = null;
    for (const c of cells) {
      if (!c) continue;
      if (!out) {
        out = {v: c.slice(), tap: c.tap};
        continue;
      }
      const worse = (c[5] > 0) !== (out.v[5] > 0) ? c[5] > 0 : badness(c[0]) > badness(out.v[0]);
      if (worse) {
        out.v[6] = c[6];
        out.v[7] = c[7];
        out.tap = c.tap;
      }
      for (const i of [0, 1, 2, 3]) if (badness(c[i]) > badness(out.v[i])) out.v[i] = c[i];
      out.v[4] += c[4];
      out.v[5] += c[5];
    }
    return out;
  }
  function mark(cell, tap) {
    if (cell) cell.tap = tap;
    return cell;
  }

  // The rows of a heat map: taps without layers stand above or below the layers as the model computes them.
  function heatRows(mode, tap) {
    const taps = tap === ALL ? data.taps.map((_, i) => i) : [tap];
    const rows = new Map();
    for (const t of taps) {
      for (const layer of layerKeys(mode, t)) {
        const name = layer === '-1' ? 't' + t : 'l' + layer;
        if (!rows.has(name)) rows.set(name, {name, layer: Number(layer), tap: t, cells: []});
        const row = rows.get(name);
        rowsOf(mode, t, layer).forEach((cell, column) => {
          if (!cell) return;
          (row.cells[column] = row.cells[column] || []).push(mark(cell, t));
        });
      }
    }
    const first = data.taps.findIndex((_, i) => layerKeys('free', i).concat(layerKeys('local', i)).some((l) => l !== '-1'));
    const order = (r) => r.layer >= 0 ? r.layer : r.tap < first || first < 0 ? -1e6 + r.tap : 1e7 + r.tap;
    return [...rows.values()].sort((a, b) => order(a) - order(b));
  }

  const columnName = ([first, last]) => first === last ? String(first) : first + '–' + last;
  const rowName = (row) => row.layer >= 0 ? 'layer ' + row.layer : data.taps[row.tap];

  function scaleOf(values) {
    const logs = values.map(badness).filter((x) => x > 0 && Number.isFinite(x)).map(Math.log10);
    if (!logs.length) return {low: -16, high: 0};
    let low = Math.max(-18, Math.floor(Math.min(...logs)));
    let high = Math.min(2, Math.ceil(Math.max(...logs)));
    while (high - low < 4) {
      low -= 1;
      if (high - low < 4 && high < 0) high += 1;
    }
    return {low, high};
  }
  function level(value, scale) {
    const x = badness(value);
    if (x <= 0) return 'zero';
    const t = (Math.log10(x) - scale.low) / (scale.high - scale.low);
    return 'q' + Math.max(0, Math.min(7, Math.floor(t * 8)));
  }
  function exponent(value) {
    const x = number(value);
    if (Number.isNaN(x)) return 'NaN';
    if (x <= 0) return '0';
    if (!Number.isFinite(x)) return '∞';
    return String(Math.floor(Math.log10(Math.abs(x)))).replace('-', '−');
  }

  function caseLink(index) {
    const row = document.querySelector('#case-rows tr[data-i="' + index + '"]');
    if (!row) return node('span', {}, 'case number ' + (index + 1));
    return node('a', {href: '#' + row.id}, row.dataset.name || row.querySelector('th').textContent);
  }

  function readout(cell, place) {
    const box = byId('heat-readout');
    box.replaceChildren(
        node('b', {}, place), '  ',
        METRICS.map((m) => m.name + ' ' + figure(cell.v[m.key])).join(' · ') + ' · greatest difference ' + figure(cell.v[3]) +
        ' · ' + grouped(cell.v[4]) + (cell.v[4] === 1 ? ' comparison' : ' comparisons') +
        (cell.v[5] ? ', ' + grouped(cell.v[5]) + ' failed' : '') + ' · worst: ' + data.taps[cell.tap] + ' in ',
        caseLink(cell.v[6]), ', step ' + cell.v[7]);
  }

  const view = {tap: ALL, metric: 0};

  function drawHeat() {
    const holder = byId('heat-maps');
    holder.replaceChildren();
    const metric = METRICS[view.metric];
    const maps = MODES.map((mode) => ({mode, rows: heatRows(mode.key, view.tap)})).filter((m) => m.rows.length);
    for (const map of maps) {
      for (const row of map.rows) row.combined = data.columns.map((_, i) => row.cells[i] ? combine(row.cells[i]) : null);
    }
    const scale = scaleOf(maps.flatMap((m) => m.rows.flatMap((r) => r.combined.filter(Boolean).map((c) => c.v[view.metric]))));
    const dense = data.columns.length > 26;
    holder.classList.toggle('wide', data.columns.length > 14);
    let anyFailed = false;
    for (const {mode, rows} of maps) {
      const label = mode.name + ', ' + (view.tap === ALL ? 'all taps' : data.taps[view.tap]) + ', ' + metric.name +
          ', layer by step';
      const table = node('table', {class: dense ? 'heat dense' : 'heat', role: 'grid', 'aria-label': label});
      const head = node('tr', {}, node('td', {class: 'none'}));
      data.columns.forEach((column, i) => {
        const shown = !dense || i % 4 === 0;
        head.append(node('th', {scope: 'col', title: 'step ' + columnName(column)}, shown ? columnName(column) : ''));
      });
      table.append(node('thead', {}, head));
      const body = node('tbody');
      rows.forEach((row) => {
        const tr = node('tr', {}, node('th', {scope: 'row'}, rowName(row)));
        row.combined.forEach((cell, i) => {
          if (!cell) {
            tr.append(node('td', {class: 'none'}));
            return;
          }
          const value = cell.v[view.metric];
          const failed = cell.v[5] > 0;
          anyFailed = anyFailed || failed;
          const place = mode.name + ', ' + rowName(row) + ', step ' + columnName(data.columns[i]);
          const td = node('td', {
            class: failed ? 'failed' : level(value, scale),
            tabindex: '-1',
            'aria-label': place + ': ' + metric.name + ' ' + figure(value) + (failed ? ', ' + cell.v[5] + ' failed' : ''),
          }, failed ? '✕' : exponent(value));
          const show = () => readout(cell, place);
          td.addEventListener('mouseenter', () => { if (!holder.querySelector('[aria-selected=true]')) show(); });
          td.addEventListener('focus', show);
          td.addEventListener('click', () => {
            const was = td.getAttribute('aria-selected') === 'true';
            holder.querySelectorAll('[aria-selected=true]').forEach((e) => e.removeAttribute('aria-selected'));
            if (!was) td.setAttribute('aria-selected', 'true');
            show();
          });
          tr.append(td);
        });
        body.append(tr);
      });
      table.append(body);
      const start = body.querySelector('td.failed') || body.querySelector('td[tabindex]');
      if (start) start.tabIndex = 0;
      table.addEventListener('keydown', moveInGrid);
      holder.append(node('figure', {}, node('figcaption', {}, node('b', {}, mode.name), ': ' + mode.what),
                         node('div', {class: 'heat-scroll'}, table)));
    }
    const legend = byId('heat-legend');
    legend.replaceChildren();
    legend.append(node('span', {}, 'Numbers are powers of ten of the worst ' + metric.name + ':'));
    legend.append(node('span', {}, node('i', {class: 'zero'}, '0'), 'no difference'));
    const ramp = node('span', {}, power(scale.low));
    for (let q = 0; q < 8; ++q) ramp.append(node('i', {class: 'q' + q}));
    ramp.append(power(scale.high));
    legend.append(ramp);
    if (anyFailed) legend.append(node('span', {}, node('i', {class: 'failed'}, '✕'), 'a gate failed'));
    byId('heat-readout').textContent = 'Point at a cell or move with the arrow keys; a click keeps the cell.';
  }
  const power = (d) => '1e' + String(d).replace('-', '−');

  function moveInGrid(event) {
    const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
    const cell = event.target.closest('td');
    if (!cell) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      cell.click();
      return;
    }
    if (!step) return;
    event.preventDefault();
    const rows = [...cell.closest('tbody').rows];
    let r = rows.indexOf(cell.parentNode);
    let c = cell.cellIndex;
    for (;;) {
      r += step[0];
      c += step[1];
      const next = rows[r] && rows[r].cells[c];
      if (!next || c < 1) return;
      if (next.hasAttribute('tabindex')) {
        cell.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
        return;
      }
    }
  }

  // ---- error along the layers ------------------------------------------------------------------------------------
  function worstAlong(mode, tap, layer) {
    const cells = rowsOf(mode, tap, layer).map((cell) => mark(cell, tap));
    return combine(cells);
  }

  function profile(tap) {
    // Without a tap: every tap of every layer in the order of computation, taps without layers where they belong.
    const points = [];
    const add = (t, layer) => {
      const at = {tap: t, layer};
      for (const mode of MODES) at[mode.key] = worstAlong(mode.key, t, layer);
      if (at.local || at.free) points.push(at);
    };
    const layered = (t) => [...new Set(layerKeys('free', t).concat(layerKeys('local', t)))].map(Number).sort((a, b) => a - b);
    if (tap !== ALL) {
      for (const layer of layered(tap)) add(tap, layer);
      return points;
    }
    const all = data.taps.map((_, t) => ({t, layers: layered(t)}));
    const firstLayered = all.findIndex((x) => x.layers.some((l) => l >= 0));
    all.forEach((x, i) => { if (x.layers.includes(-1) && (i < firstLayered || firstLayered < 0)) add(x.t, -1); });
    const last = Math.max(-1, ...all.flatMap((x) => x.layers));
    for (let layer = 0; layer <= last; ++layer) {
      for (const x of all) if (x.layers.includes(layer)) add(x.t, layer);
    }
    all.forEach((x, i) => { if (x.layers.includes(-1) && i > firstLayered && firstLayered >= 0) add(x.t, -1); });
    return points;
  }

  const tapName = (p) => p.layer < 0 ? data.taps[p.tap] :
      data.taps[p.tap].includes('#') ? data.taps[p.tap].replace('#', '-' + p.layer + '#') : data.taps[p.tap] + '-' + p.layer;

  function drawLayers() {
    const figureBox = byId('layers-plot');
    figureBox.replaceChildren();
    const metric = METRICS[view.metric];
    const points = profile(view.tap);
    const W = 1160, H = 320, L = 64, R = 20, T = 14, B = 46;
    const values = points.flatMap((p) => MODES.map((m) => p[m.key] && p[m.key].v[view.metric]).filter((v) => v !== null && v !== undefined));
    const noise = view.tap === ALL || !data.noise[view.tap] ? null : view.metric === 0 ? data.noise[view.tap][0] :
        view.metric === 2 ? data.noise[view.tap][1] : null;
    const limits = MODES.map((m) => view.tap === ALL ? null : ((data.limits[m.key] || {})[view.tap] || [])[view.metric]);
    const scale = scaleOf(values.concat(limits.filter((x) => x > 0)).concat(noise > 0 ? [noise] : []));
    const x = (i) => points.length < 2 ? (L + W - R) / 2 : L + (W - L - R) * i / (points.length - 1);
    const y = (v) => {
      const b = badness(v);
      const t = b <= 0 ? 0 : (Math.min(Math.log10(b), scale.high) - scale.low) / (scale.high - scale.low);
      return H - B - (H - B - T) * Math.max(0, t);
    };
    const title = 'Worst ' + metric.name + (view.tap === ALL ? ' of every tap in the order of computation' :
        ' of ' + data.taps[view.tap] + ' along the layers');
    const svg = shape('svg', {viewBox: '0 0 ' + W + ' ' + H, role: 'img', 'aria-label': title + '; the figures are in the table below'});
    const every = Math.max(1, Math.ceil((scale.high - scale.low) / 8));
    for (let d = scale.low; d <= scale.high; d += every) {
      const at = H - B - (H - B - T) * (d - scale.low) / (scale.high - scale.low);
      svg.append(shape('line', {class: d === scale.low ? 'axis' : 'grid', x1: L, x2: W - R, y1: at, y2: at}),
                 shape('text', {x: L - 8, y: at + 4, 'text-anchor': 'end'}, '1e' + String(d).replace('-', '−')));
    }
    let previous = null;
    const perLabel = Math.ceil(points.length / 24);
    points.forEach((p, i) => {
      if (view.tap === ALL) {
        if (p.layer !== previous) {
          if (i > 0) svg.append(shape('line', {class: 'grid', x1: (x(i) + x(i - 1)) / 2, x2: (x(i) + x(i - 1)) / 2, y1: T, y2: H - B}));
          const width = points.filter((q) => q.layer === p.layer).length;
          const layers = new Set(points.map((q) => q.layer)).size;
          if (p.layer >= 0 && (layers <= 24 || p.layer % Math.ceil(layers / 24) === 0)) {
            svg.append(shape('text', {x: (x(i) + x(Math.min(points.length - 1, i + width - 1))) / 2, y: H - B + 18, 'text-anchor': 'middle'}, String(p.layer)));
          }
        }
        previous = p.layer;
      } else if (i % perLabel === 0) {
        svg.append(shape('text', {x: x(i), y: H - B + 18, 'text-anchor': 'middle'}, p.layer < 0 ? '' : String(p.layer)));
      }
    });
    svg.append(shape('text', {x: (L + W - R) / 2, y: H - 6, 'text-anchor': 'middle'},
                     view.tap === ALL ? 'layer; within a layer each tap in the order of computation' : 'layer'));
    limits.forEach((limit, m) => {
      if (!(limit > 0) || Math.log10(limit) > scale.high || Math.log10(limit) < scale.low) return;
      svg.append(shape('line', {class: 'limit', x1: L, x2: W - R, y1: y(limit), y2: y(limit)}),
                 shape('text', {x: W - R, y: y(limit) - 5, 'text-anchor': 'end'}, MODES[m].name + ' limit ' + figure(limit)));
    });
    if (noise > 0) {
      svg.append(shape('line', {class: 'noise', x1: L, x2: W - R, y1: y(noise), y2: y(noise)}),
                 shape('text', {x: L + 6, y: y(noise) - 5}, 'self-noise ' + figure(noise)));
    }
    for (const mode of MODES) {
      const own = points.map((p, i) => ({p, i})).filter(({p}) => p[mode.key]);
      if (!own.length) continue;
      svg.append(shape('polyline', {class: mode.key + '-line', points: own.map(({p, i}) => x(i).toFixed(1) + ',' + y(p[mode.key].v[view.metric]).toFixed(1)).join(' ')}));
      for (const {p, i} of own) {
        const c = p[mode.key];
        const bad = c.v[5] > 0;
        const at = [x(i), y(c.v[view.metric])];
        const size = bad ? 5 : points.length > 60 ? 2 : 3.5;
        const dot = mode.key === 'local' ?
            shape('rect', {class: bad ? 'fail-dot' : 'local-dot', x: at[0] - size, y: at[1] - size, width: 2 * size, height: 2 * size}) :
            shape('circle', {class: bad ? 'fail-dot' : 'free-dot', cx: at[0], cy: at[1], r: size});
        dot.append(shape('title', {}, mode.name + ', ' + tapName(p) + ': ' + metric.name + ' ' + figure(c.v[view.metric]) + (bad ? ', ' + c.v[5] + ' failed' : '')));
        svg.append(dot);
      }
    }
    figureBox.append(node('figure', {}, svg));
    const key = byId('layers-key');
    key.replaceChildren();
    for (const mode of MODES) {
      if (!points.some((p) => p[mode.key])) continue;
      const icon = shape('svg', {viewBox: '0 0 26 12', width: 26, height: 12, 'aria-hidden': 'true'},
          shape('line', {class: mode.key + '-line', x1: 0, x2: 26, y1: 6, y2: 6}),
          mode.key === 'local' ? shape('rect', {class: 'local-dot', x: 9.5, y: 2.5, width: 7, height: 7}) :
              shape('circle', {class: 'free-dot', cx: 13, cy: 6, r: 3.5}));
      key.append(node('span', {}, icon, mode.name));
    }
    if (points.some((p) => MODES.some((m) => p[m.key] && p[m.key].v[5] > 0))) {
      key.append(node('span', {}, shape('svg', {viewBox: '0 0 12 12', width: 12, height: 12, 'aria-hidden': 'true'},
          shape('circle', {class: 'fail-dot', cx: 6, cy: 6, r: 5})), 'a gate failed'));
    }
    key.append(node('span', {}, 'Points on the lowest line are 0 or below the axis.'));
    const body = byId('layers-rows');
    body.replaceChildren(...points.slice(0, 2000).map((p) => node('tr', {}, node('th', {scope: 'row'}, tapName(p)),
        ...MODES.map((m) => node('td', {class: p[m.key] && p[m.key].v[5] ? 'n bad' : 'n'}, p[m.key] ? figure(p[m.key].v[view.metric]) : '–')))));
  }

  function drawSparks() {
    for (const td of document.querySelectorAll('td.spark')) {
      const tap = Number(td.dataset.tap);
      const points = profile(tap);
      if (points.length < 2) continue;
      const scale = scaleOf(points.flatMap((p) => MODES.map((m) => p[m.key] ? p[m.key].v[0] : 0)));
      const svg = shape('svg', {viewBox: '0 0 110 26', 'aria-hidden': 'true'});
      for (const mode of MODES) {
        if (!points.some((p) => p[mode.key])) continue;
        svg.append(shape('polyline', {class: mode.key + '-line', points: points.filter((p) => p[mode.key]).map((p, i) => {
          const b = badness(p[mode.key].v[0]);
          const t = b <= 0 ? 0 : Math.max(0, Math.min(1, (Math.log10(b) - scale.low) / (scale.high - scale.low)));
          return (2 + 106 * i / (points.length - 1)).toFixed(1) + ',' + (24 - 22 * t).toFixed(1);
        }).join(' ')}));
      }
      td.append(svg);
    }
  }

  // ---- margins ---------------------------------------------------------------------------------------------------
  function drawMargins() {
    const box = byId('margin-plot');
    if (!box) return;
    const m = data.margins;
    const W = 1160, H = 360, L = 72, R = 20, T = 14, B = 46;
    const xs = m.bins.map((b) => b[0]).concat(m.flips.map((f) => bin(f[0])));
    const ys = m.bins.map((b) => b[1]).concat(m.flips.map((f) => bin(f[1])));
    function bin(v) {
      const n = number(v);
      return n > 0 && Number.isFinite(n) ? Math.max(0, Math.min(m.perDecade * (m.last - m.first) - 1, (Math.log10(n) - m.first) * m.perDecade)) : 0;
    }
    const low = (a) => Math.floor(Math.min(...a) / m.perDecade) + m.first;
    const high = (a) => Math.ceil((Math.max(...a) + 1) / m.perDecade) + m.first;
    const x0 = low(xs), x1 = Math.max(high(xs), x0 + 1), y0 = Math.min(low(ys), high(ys) - 1), y1 = Math.max(high(ys), y0 + 2);
    const x = (d) => L + (W - L - R) * (d - x0) / (x1 - x0);
    const y = (d) => H - B - (H - B - T) * (d - y0) / (y1 - y0);
    const svg = shape('svg', {viewBox: '0 0 ' + W + ' ' + H, role: 'img', 'aria-label': box.dataset.label});
    const name = (d) => '1e' + String(d).replace('-', '−');
    for (let d = y0; d <= y1; d += Math.max(1, Math.ceil((y1 - y0) / 8))) {
      svg.append(shape('line', {class: d === y0 ? 'axis' : 'grid', x1: L, x2: W - R, y1: y(d), y2: y(d)}),
                 shape('text', {x: L - 8, y: y(d) + 4, 'text-anchor': 'end'}, d === m.first ? '0' : name(d)));
    }
    for (let d = x0; d <= x1; d += Math.max(1, Math.ceil((x1 - x0) / 12))) {
      svg.append(shape('line', {class: 'grid', x1: x(d), x2: x(d), y1: T, y2: H - B}),
                 shape('text', {x: x(d), y: H - B + 18, 'text-anchor': 'middle'}, d === m.first ? '0' : name(d)));
    }
    svg.append(shape('text', {x: (L + W - R) / 2, y: H - 6, 'text-anchor': 'middle'}, 'reference’s margin between its best two tokens'));
    svg.append(shape('text', {transform: 'translate(14 ' + (H - B + T) / 2 + ') rotate(-90)', 'text-anchor': 'middle'},
                     'greatest difference of one logit'));
    // A flip needs one logit to move by at least half the margin.
    const half = Math.log10(0.5);
    const from = Math.max(x0, y0 - half), to = Math.min(x1, y1 - half);
    if (from < to) {
      svg.append(shape('line', {class: 'guide', x1: x(from), y1: y(from + half), x2: x(to), y2: y(to + half)}));
      const at = from + (to - from) / 4;
      svg.append(shape('text', {x: x(at) + 10, y: y(at + half) + 16}, 'a flip is possible above this line'));
    }
    const noise = number(m.noise);
    if (noise > 0) {
      const at = Math.log10(2 * noise);
      if (at > x0 && at < x1) {
        svg.append(shape('line', {class: 'limit', x1: x(at), x2: x(at), y1: T, y2: H - B}),
                   shape('text', {x: x(at) + 5, y: T + 12}, 'twice the self-noise: flips to the right are failures'));
      }
    }
    const most = Math.max(...m.bins.map((b) => b[2]), 1);
    for (const [bx, by, n] of m.bins) {
      const dx = bx / m.perDecade + m.first, dy = by / m.perDecade + m.first, w = 1 / m.perDecade;
      const square = shape('rect', {class: 'bin', x: x(dx) + .5, width: Math.max(1, x(dx + w) - x(dx) - 1), y: y(dy + w) + .5,
        height: Math.max(1, y(dy) - y(dy + w) - 1), rx: 1.5, 'fill-opacity': (0.2 + 0.8 * Math.log(1 + n) / Math.log(1 + most)).toFixed(2)});
      square.append(shape('title', {}, grouped(n) + (n === 1 ? ' token' : ' tokens') + ', margin about ' + figure(10 ** dx) +
        ', logits differ by ' + (by === 0 ? 'at most ' : 'about ') + figure(10 ** dy)));
      svg.append(square);
    }
    for (const [margin, difference, index, step, explained] of m.flips) {
      const cx = x(bin(margin) / m.perDecade + m.first), cy = y(bin(difference) / m.perDecade + m.first);
      const s = 6;
      const diamond = shape('path', {class: explained ? 'flip explained' : 'flip', d: 'M' + cx + ' ' + (cy - s) + 'l' + s + ' ' + s + 'l' + -s + ' ' + s + 'l' + -s + ' ' + -s + 'z'});
      diamond.append(shape('title', {}, (explained ? 'explained flip' : 'unexplained flip') + ': ' + caseLink(index).textContent + ', step ' + step +
        ', margin ' + figure(margin) + ', logits differ by ' + figure(difference)));
      svg.append(diamond);
    }
    box.append(node('figure', {}, svg));
  }

  // ---- tables: sorting, filtering, links, commands ---------------------------------------------------------------
  const collator = new Intl.Collator('en', {numeric: true, sensitivity: 'base'});

  for (const table of document.querySelectorAll('table[data-sortable]')) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    table.querySelectorAll('thead th').forEach((th, column) => {
      if (th.hasAttribute('data-unsorted')) return;
      const button = node('button', {type: 'button'}, ...th.childNodes);
      th.replaceChildren(button);
      th.setAttribute('aria-sort', 'none');
      button.addEventListener('click', () => {
        const numeric = th.classList.contains('n');
        const orders = numeric ? ['descending', 'ascending', 'none'] : ['ascending', 'descending', 'none'];
        const order = orders[(orders.indexOf(th.getAttribute('aria-sort')) + 1) % 3];
        for (const other of table.querySelectorAll('th[aria-sort]')) other.setAttribute('aria-sort', 'none');
        th.setAttribute('aria-sort', order);
        if (order === 'none') {
          body.append(...original);
          return;
        }
        const key = (row) => {
          const cell = row.cells[column];
          const value = cell.dataset.v !== undefined ? cell.dataset.v : cell.textContent.trim();
          if (!numeric) return value;
          return value === 'nan' || value === 'inf' ? Infinity : value === '–' || value === '' ? -Infinity : Number(value.replace(/,/g, ''));
        };
        const sign = order === 'ascending' ? 1 : -1;
        const keyed = original.map((row, i) => ({row, i, k: key(row)}));
        keyed.sort((a, b) => (numeric ? (a.k === b.k ? 0 : a.k < b.k ? -1 : 1) : collator.compare(a.k, b.k)) * sign || a.i - b.i);
        body.append(...keyed.map((x) => x.row));
      });
    });
  }

  function filterable(input, select, body, count, noun) {
    if (!input) return () => {};
    const rows = [...body.rows].map((row) => ({row, text: row.textContent.toLowerCase(), state: row.dataset.state}));
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const {row, text, state} of rows) {
        const wanted = !select || !select.value || (select.value === 'failing' ? state !== 'PASS' && state !== 'SKIPPED' : state === select.value);
        row.hidden = !(wanted && words.every((word) => text.includes(word)));
        if (!row.hidden) ++shown;
      }
      count.textContent = shown === rows.length ? grouped(rows.length) + ' ' + noun : grouped(shown) + ' of ' + grouped(rows.length) + ' ' + noun;
    };
    input.addEventListener('input', apply);
    if (select) select.addEventListener('change', apply);
    apply();
    return () => {
      input.value = '';
      if (select) select.value = '';
      apply();
    };
  }
  const showAllCases = filterable(byId('case-filter'), byId('case-state'), byId('case-rows'), byId('case-count'), 'cases');
  const showAllFailures = filterable(byId('failure-filter'), null, byId('failure-rows'), byId('failure-count'), 'failures');

  document.addEventListener('click', (event) => {
    const button = event.target.closest('.command button');
    if (!button) return;
    const code = button.parentNode.querySelector('code');
    const select = () => {
      const range = document.createRange();
      range.selectNodeContents(code);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      button.textContent = 'Selected';
    };
    if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(() => { button.textContent = 'Copied'; }, select);
    else select();
    setTimeout(() => { button.textContent = 'Copy'; }, 2000);
  });

  // ---- the view of one tap ---------------------------------------------------------------------------------------
  const tapSelect = byId('tap-select');
  const metricSelect = byId('metric-select');
  function redraw() {
    drawHeat();
    drawLayers();
  }
  if (tapSelect && data.columns.length) {
    tapSelect.append(node('option', {value: String(ALL)}, 'all taps, the worst'));
    data.taps.forEach((name, i) => {
      if (layerKeys('free', i).length || layerKeys('local', i).length) tapSelect.append(node('option', {value: String(i)}, name));
    });
    METRICS.forEach((m) => metricSelect.append(node('option', {value: String(m.key)}, m.name)));
    tapSelect.addEventListener('change', () => { view.tap = Number(tapSelect.value); redraw(); });
    metricSelect.addEventListener('change', () => { view.metric = Number(metricSelect.value); redraw(); });
    for (const th of document.querySelectorAll('.taps tbody th[data-tap]')) {
      const button = node('button', {type: 'button', title: 'Show this tap in the heat map'}, ...th.childNodes);
      button.addEventListener('click', () => { location.hash = th.parentNode.id; showTap(Number(th.dataset.tap)); });
      th.replaceChildren(button);
    }
    redraw();
    drawSparks();
  }
  function showTap(tap) {
    view.tap = tap;
    tapSelect.value = String(tap);
    redraw();
    byId('heat').scrollIntoView();
  }
  drawMargins();

  function follow() {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.hidden) {
      showAllCases();
      showAllFailures();
    }
    const th = target.querySelector && target.matches('.taps tr') && target.querySelector('th[data-tap]');
    if (th) showTap(Number(th.dataset.tap));
    else target.scrollIntoView({block: target.tagName === 'TR' ? 'center' : 'start'});
  }
  addEventListener('hashchange', follow);
  follow();
})();
