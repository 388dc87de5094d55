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
  // A power of ten as people write it: 0.01, 100, 10⁻⁷.
  const power = (d) => d >= -3 && d <= 4 ? String(Number('1e' + d)) :
      '10' + String(d).replace(/./g, (c) => c === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[c]);

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

  // Each operation in each layer, the worst of all steps; those without a layer have a column of their own.
  function operationRows(mode, tap, layers) {
    const taps = tap === ALL ? data.taps.map((_, i) => i) : [tap];
    return taps.filter((t) => layerKeys(mode, t).length).map((t) => ({
      name: data.taps[t],
      cells: layers.map((layer) => rowsOf(mode, t, layer).filter(Boolean).map((cell) => mark(cell, t))),
    }));
  }
  const layersOf = (mode) => data.taps.flatMap((_, t) => layerKeys(mode, t)).map(Number);
  const allLayers = [...new Set(MODES.flatMap((mode) => layersOf(mode.key)))].sort((a, b) => a - b);

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
    if (x <= 0) return '=';
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

  // What a map has across and down: names, how a place is called, and the cells of each row by column.
  const stepsMap = (mode) => ({
    mode, name: 'layers by steps',
    columns: data.columns.map((c) => ({short: columnName(c), title: 'step ' + columnName(c)})),
    rows: heatRows(mode.key, view.tap).map((row) => ({name: rowName(row), cells: row.cells})),
  });
  const layersMap = (mode) => ({
    mode, name: 'operations by layers',
    columns: allLayers.map((layer) => layer < 0 ? {short: '–', title: 'no layer'} : {short: String(layer), title: 'layer ' + layer}),
    rows: operationRows(mode.key, view.tap, allLayers),
  });

  function drawHeat() {
    const holder = byId('heat-maps');
    holder.replaceChildren();
    const metric = METRICS[view.metric];
    // One operation by layers is a single row: the plot along the layers shows it better.
    const maps = MODES.map(stepsMap).concat(view.tap === ALL ? MODES.map(layersMap) : []).filter((m) => m.rows.length);
    for (const map of maps) {
      for (const row of map.rows) row.combined = map.columns.map((_, i) => row.cells[i] && row.cells[i].length ? combine(row.cells[i]) : null);
    }
    const scale = scaleOf(maps.flatMap((m) => m.rows.flatMap((r) => r.combined.filter(Boolean).map((c) => c.v[view.metric]))));
    const across = Math.max(0, ...maps.map((m) => m.columns.length));
    holder.classList.toggle('wide', across > 14);
    let anyFailed = false;
    for (const {mode, name, columns, rows} of maps) {
      const dense = columns.length > 26;
      const label = mode.name + ', ' + (view.tap === ALL ? 'all taps' : data.taps[view.tap]) + ', ' + metric.name + ', ' + name;
      const table = node('table', {class: dense ? 'heat dense' : 'heat', role: 'grid', 'aria-label': label});
      const head = node('tr', {}, node('td', {class: 'none'}));
      columns.forEach((column, i) => {
        const shown = !dense || i % 4 === 0;
        head.append(node('th', {scope: 'col', title: column.title, 'aria-label': column.title}, shown ? column.short : ''));
      });
      table.append(node('thead', {}, head));
      const body = node('tbody');
      rows.forEach((row) => {
        const tr = node('tr', {}, node('th', {scope: 'row'}, row.name));
        row.combined.forEach((cell, i) => {
          if (!cell) {
            tr.append(node('td', {class: 'none'}));
            return;
          }
          const value = cell.v[view.metric];
          const failed = cell.v[5] > 0;
          anyFailed = anyFailed || failed;
          const place = mode.name + ', ' + row.name + ', ' + columns[i].title;
          const td = node('td', {
            class: failed ? 'failed' : level(value, scale),
            tabindex: '-1',
            'aria-label': place + ': ' + metric.name + ' ' + figure(value) + (failed ? ', ' + grouped(cell.v[5]) + ' failed' : ''),
          }, exponent(value));
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
      holder.append(node('figure', {}, node('figcaption', {}, node('b', {}, mode.name + ', ' + name), ': ' + mode.what),
                         node('div', {class: 'heat-scroll'}, table)));
    }
    const legend = byId('heat-legend');
    legend.replaceChildren();
    legend.append(node('span', {}, 'Numbers are powers of ten of the worst ' + metric.name + ':'));
    legend.append(node('span', {}, node('i', {class: 'zero'}, '='), 'no difference'));
    const ramp = node('span', {}, power(scale.low));
    for (let q = 0; q < 8; ++q) ramp.append(node('i', {class: 'q' + q}));
    ramp.append(power(scale.high));
    legend.append(ramp);
    if (anyFailed) legend.append(node('span', {}, node('i', {class: 'failed'}), 'a gate failed'));
    byId('heat-readout').textContent = 'Point at a cell or move with the arrow keys; a click keeps the cell.';
  }

  function moveInGrid(event) {
    const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
    const cell = event.target.closest('td');
    if (!cell) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      cell.click();
      return;
    }
    if (event.key === 'Home' || event.key === 'End') {
      const row = [...cell.parentNode.querySelectorAll('td[tabindex]')];
      event.preventDefault();
      focusCell(cell, event.key === 'Home' ? row[0] : row[row.length - 1]);
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
        focusCell(cell, next);
        return;
      }
    }
  }

  function focusCell(from, to) {
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }

  // A plot is drawn as wide as its place, so that its text keeps its size on small screens.
  const plotWidth = (box) => Math.max(300, Math.min(1400, Math.round(box.clientWidth)));

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
    const values = points.flatMap((p) => MODES.map((m) => p[m.key] && p[m.key].v[view.metric]).filter((v) => v !== null && v !== undefined));
    // Without any difference there is nothing to draw but the axis.
    const flat = !values.some((v) => badness(v) > 0);
    const W = plotWidth(figureBox), H = flat ? 110 : 320, L = 52, R = 14, T = 14, B = 46;
    const noise = flat || view.tap === ALL || !data.noise[view.tap] ? null : view.metric === 0 ? data.noise[view.tap][0] :
        view.metric === 2 ? data.noise[view.tap][1] : null;
    const limits = MODES.map((m) => view.tap === ALL || flat ? null : ((data.limits[m.key] || {})[view.tap] || [])[view.metric]);
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
    if (flat) {
      svg.append(shape('text', {x: (L + W - R) / 2, y: T + 18, 'text-anchor': 'middle'}, 'every figure is 0'),
                 shape('line', {class: 'axis', x1: L, x2: W - R, y1: H - B, y2: H - B}),
                 shape('text', {x: L - 8, y: H - B + 4, 'text-anchor': 'end'}, '0'));
    }
    for (let d = scale.low; d <= scale.high && !flat; d += every) {
      const at = H - B - (H - B - T) * (d - scale.low) / (scale.high - scale.low);
      svg.append(shape('line', {class: d === scale.low ? 'axis' : 'grid', x1: L, x2: W - R, y1: at, y2: at}),
                 shape('text', {x: L - 8, y: at + 4, 'text-anchor': 'end'}, power(d)));
    }
    let previous = null;
    const labels = Math.max(2, Math.floor((W - L - R) / 34));
    const perLabel = Math.ceil(points.length / labels);
    points.forEach((p, i) => {
      if (view.tap === ALL) {
        if (p.layer !== previous) {
          if (i > 0) svg.append(shape('line', {class: 'grid', x1: (x(i) + x(i - 1)) / 2, x2: (x(i) + x(i - 1)) / 2, y1: T, y2: H - B}));
          const width = points.filter((q) => q.layer === p.layer).length;
          const layers = new Set(points.map((q) => q.layer)).size;
          if (p.layer >= 0 && (layers <= labels || p.layer % Math.ceil(layers / labels) === 0)) {
            svg.append(shape('text', {x: (x(i) + x(Math.min(points.length - 1, i + width - 1))) / 2, y: H - B + 18, 'text-anchor': 'middle'}, String(p.layer)));
          }
        }
        previous = p.layer;
      } else if (i % perLabel === 0) {
        svg.append(shape('text', {x: x(i), y: H - B + 18, 'text-anchor': 'middle'}, p.layer < 0 ? '' : String(p.layer)));
      }
    });
    svg.append(shape('text', {x: (L + W - R) / 2, y: H - 6, 'text-anchor': 'middle'},
                     view.tap !== ALL ? 'layer' : W < 600 ? 'layer, and in it each tap' : 'layer; within a layer each tap in the order of computation'));
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
        const size = bad ? Math.min(5, Math.max(2.5, (W - L - R) / points.length / 2.4)) : points.length > 60 ? 2 : 3.5;
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
    key.append(node('span', {}, flat ? '' : 'Points on the lowest line are 0 or below the axis.'));
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
    box.replaceChildren();
    const m = data.margins;
    // Where no logit differs there is one row of squares only.
    const flat = m.flips.length === 0 && m.bins.every((b) => b[1] === 0);
    const W = plotWidth(box), H = flat ? 130 : 360, L = 64, R = 14, T = flat ? 30 : 14, B = 46;
    const xs = m.bins.map((b) => b[0]).concat(m.flips.map((f) => bin(f[0])));
    const ys = m.bins.map((b) => b[1]).concat(m.flips.map((f) => bin(f[1])));
    function bin(v) {
      const n = number(v);
      return n > 0 && Number.isFinite(n) ? Math.max(0, Math.min(m.perDecade * (m.last - m.first) - 1, (Math.log10(n) - m.first) * m.perDecade)) : 0;
    }
    const low = (a) => Math.floor(Math.min(...a) / m.perDecade) + m.first;
    const high = (a) => Math.ceil((Math.max(...a) + 1) / m.perDecade) + m.first;
    const x0 = low(xs), x1 = Math.max(high(xs), x0 + 1), y0 = Math.min(low(ys), high(ys) - 1), y1 = Math.max(high(ys), y0 + (flat ? 1 : 2));
    const x = (d) => L + (W - L - R) * (d - x0) / (x1 - x0);
    const y = (d) => H - B - (H - B - T) * (d - y0) / (y1 - y0);
    const svg = shape('svg', {viewBox: '0 0 ' + W + ' ' + H, role: 'img', 'aria-label': box.dataset.label});
    const perTick = (room, n) => Math.max(1, Math.ceil(n / Math.max(2, Math.floor(room))));
    for (let d = y0; d <= (flat ? y0 : y1); d += perTick((H - B - T) / 36, y1 - y0)) {
      svg.append(shape('line', {class: d === y0 ? 'axis' : 'grid', x1: L, x2: W - R, y1: y(d), y2: y(d)}),
                 shape('text', {x: L - 8, y: y(d) + 4, 'text-anchor': 'end'}, d === m.first ? '0' : power(d)));
    }
    for (let d = x0; d <= x1; d += perTick((W - L - R) / 60, x1 - x0)) {
      svg.append(shape('line', {class: 'grid', x1: x(d), x2: x(d), y1: T, y2: H - B}),
                 shape('text', {x: x(d), y: H - B + 18, 'text-anchor': 'middle'}, d === m.first ? '0' : power(d)));
    }
    svg.append(shape('text', {x: (L + W - R) / 2, y: H - 6, 'text-anchor': 'middle'}, 'reference’s margin between its best two tokens'));
    if (flat) svg.append(shape('text', {x: W - R, y: T - 14, 'text-anchor': 'end'}, 'no logit differs'));
    else svg.append(shape('text', {transform: 'translate(14 ' + (H - B + T) / 2 + ') rotate(-90)', 'text-anchor': 'middle'},
                     'greatest difference of one logit'));
    // A flip needs one logit to move by at least half the margin.
    const half = Math.log10(0.5);
    const from = Math.max(x0, y0 - half), to = Math.min(x1, y1 - half);
    if (from < to && !flat) {
      svg.append(shape('line', {class: 'guide', x1: x(from), y1: y(from + half), x2: x(to), y2: y(to + half)}));
      const at = from + (to - from) / 4;
      svg.append(shape('text', {x: x(at) + 10, y: y(at + half) + 16}, 'a flip is possible above this line'));
    }
    const noise = number(m.noise);
    if (noise > 0) {
      const at = Math.log10(2 * noise);
      if (at > x0 && at < x1) {
        svg.append(shape('line', {class: 'limit', x1: x(at), x2: x(at), y1: T, y2: H - B}),
                   shape('text', {x: x(at) + 5, y: flat ? T - 14 : T + 12}, W < 600 ? 'twice the self-noise' : 'twice the self-noise: flips to the right are failures'));
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

  // ---- the address -----------------------------------------------------------------------------------------------
  // What is seen is in the fragment, so that a link shows it to others: #case=ID and #tap=NAME lead to their rows;
  // figure, cases, verdict, failures and sort-TABLE say how the report is looked at.
  const controls = new Map();  // by name: {get, set}; '' is the usual state
  function addressOf(values) {
    const text = values.filter(([, value]) => value !== '').map(([name, value]) => name + '=' + encodeURIComponent(value)).join('&');
    return '#' + text;
  }
  function remember() {
    const address = addressOf([...controls].map(([name, control]) => [name, control.get()]));
    history.replaceState(null, '', address === '#' ? location.pathname + location.search : address);
  }
  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch (e) {
      return text;
    }
  }
  const valuesOf = (fragment) => new Map(fragment.split('&').filter((part) => part.includes('=')).map((part) => {
    const at = part.indexOf('=');
    return [part.slice(0, at), part.slice(at + 1)];
  }));

  // ---- tables: sorting, filtering, links, commands ---------------------------------------------------------------
  const collator = new Intl.Collator('en', {numeric: true, sensitivity: 'base'});

  for (const table of document.querySelectorAll('table[data-sortable]')) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.querySelectorAll('thead th')].filter((th) => !th.hasAttribute('data-unsorted'));
    const nameOf = (th) => th.textContent.trim();
    const sort = (th, order) => {
      for (const other of heads) other.setAttribute('aria-sort', 'none');
      if (!th || order === 'none') {
        body.append(...original);
        return;
      }
      th.setAttribute('aria-sort', order);
      const numeric = th.classList.contains('n');
      const key = (row) => {
        const cell = row.cells[th.cellIndex];
        const value = cell.dataset.v !== undefined ? cell.dataset.v : cell.textContent.trim();
        if (!numeric) return value;
        return value === 'nan' || value === 'inf' ? Infinity : value === '–' || value === '' ? -Infinity : Number(value.replace(/,/g, ''));
      };
      const sign = order === 'ascending' ? 1 : -1;
      const keyed = original.map((row, i) => ({row, i, k: key(row)}));
      keyed.sort((a, b) => (numeric ? (a.k === b.k ? 0 : a.k < b.k ? -1 : 1) : collator.compare(a.k, b.k)) * sign || a.i - b.i);
      body.append(...keyed.map((x) => x.row));
    };
    for (const th of heads) {
      const button = node('button', {type: 'button', title: 'Sort'}, ...th.childNodes);
      th.replaceChildren(button);
      th.setAttribute('aria-sort', 'none');
      button.addEventListener('click', () => {
        const orders = th.classList.contains('n') ? ['descending', 'ascending', 'none'] : ['ascending', 'descending', 'none'];
        sort(th, orders[(orders.indexOf(th.getAttribute('aria-sort')) + 1) % 3]);
        remember();
      });
    }
    if (!body.id) continue;
    controls.set('sort-' + body.id.replace('-rows', 's'), {
      get: () => {
        const th = heads.find((other) => other.getAttribute('aria-sort') !== 'none');
        return th ? nameOf(th) + ' ' + th.getAttribute('aria-sort') : '';
      },
      set: (text) => {
        const at = text.lastIndexOf(' ');
        sort(heads.find((other) => nameOf(other) === text.slice(0, at)), text.slice(at + 1) === 'descending' ? 'descending' : 'ascending');
      },
    });
  }

  function filterable(name, input, select, body, count, noun) {
    if (!input) return;
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
    const control = (element, key, event) => {
      element.addEventListener(event, () => {
        apply();
        remember();
      });
      controls.set(key, {
        get: () => element.value,
        set: (value) => {
          element.value = value;
          // A select without such an option would show nothing at all.
          if (element.selectedIndex === -1) element.selectedIndex = 0;
          apply();
        },
      });
    };
    control(input, name, 'input');
    if (select) control(select, 'verdict', 'change');
    apply();
  }
  filterable('cases', byId('case-filter'), byId('case-state'), byId('case-rows'), byId('case-count'), 'cases');
  filterable('failures', byId('failure-filter'), null, byId('failure-rows'), byId('failure-count'), 'failures');

  // The id of a case is a link to its row, to be passed on.
  for (const row of document.querySelectorAll('#case-rows tr')) {
    const th = row.querySelector('th');
    row.dataset.name = th.textContent;
    th.replaceChildren(node('a', {href: '#' + row.id}, ...th.childNodes));
  }

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
  function choice(name, select, get, set) {
    const change = (value) => {
      select.value = value;
      if (select.selectedIndex === -1) select.selectedIndex = 0;
      set(select.selectedIndex);
      redraw();
    };
    select.addEventListener('change', () => {
      change(select.value);
      remember();
    });
    controls.set(name, {get: () => select.selectedIndex === 0 ? '' : get(), set: change});
  }
  if (tapSelect && data.columns.length) {
    const shown = [ALL];
    tapSelect.append(node('option', {value: ''}, 'all taps, the worst'));
    data.taps.forEach((name, i) => {
      if (!layerKeys('free', i).length && !layerKeys('local', i).length) return;
      tapSelect.append(node('option', {value: name}, name));
      shown.push(i);
    });
    METRICS.forEach((m) => metricSelect.append(node('option', {value: m.gate}, m.name)));
    choice('tap', tapSelect, () => tapSelect.value, (i) => { view.tap = shown[i]; });
    choice('figure', metricSelect, () => metricSelect.value, (i) => { view.metric = i; });
    for (const th of document.querySelectorAll('.taps tbody th[data-tap]')) {
      const button = node('button', {type: 'button', title: 'Show this tap in the heat map'}, ...th.childNodes);
      button.addEventListener('click', () => {
        controls.get('tap').set(data.taps[Number(th.dataset.tap)]);
        remember();
        byId('heat').scrollIntoView();
      });
      th.replaceChildren(button);
    }
    redraw();
    drawSparks();
  }
  drawMargins();
  let drawn = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth === drawn) return;
    drawn = innerWidth;
    if (tapSelect && data.columns.length) drawLayers();
    drawMargins();
  });

  function follow() {
    const fragment = location.hash.slice(1);
    const values = valuesOf(fragment);
    for (const [name, control] of controls) {
      const value = values.has(name) ? decoded(values.get(name)) : '';
      if (value !== '' && control.get() !== value) control.set(value);
    }
    document.querySelectorAll('.here').forEach((row) => row.classList.remove('here'));
    const target = document.getElementById(values.has('case') ? 'case=' + values.get('case') : fragment) ||
        [...document.querySelectorAll('#case-rows tr')].find((row) => row.dataset.name === decoded(values.get('case') || ''));
    if (!target) {
      const section = byId(values.has('tap') || values.has('figure') ? 'heat' :
          values.has('cases') || values.has('verdict') || values.has('sort-cases') ? 'cases' :
          values.has('failures') || values.has('sort-failures') ? 'failures' : '');
      if (section) section.scrollIntoView();
      return;
    }
    if (target.tagName !== 'TR') {
      target.scrollIntoView();
      return;
    }
    // Where the filters hide the row, they yield.
    if (target.hidden) for (const name of ['cases', 'verdict']) controls.get(name).set('');
    target.classList.add('here');
    target.scrollIntoView({block: 'center'});
  }
  addEventListener('hashchange', follow);
  follow();
})();
