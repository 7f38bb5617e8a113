//! Charts, each with its numbers beside it: an SVG and a CSV of the same points.

use std::fmt::Write;

use plotters::prelude::*;

use super::{
    changes::{Change, Sensitivity},
    text::Findings,
};
use crate::lab::numbers::{count, estimate::Estimate, whole};

/// A picture and its numbers.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Name of its files, without ending.
    pub name: &'static str,
    /// Title, for people.
    pub title: &'static str,
    /// The picture.
    pub svg: String,
    /// The numbers.
    pub csv: String,
}

const SIZE: (u32, u32) = (860, 420);
const INK: RGBColor = RGBColor(30, 41, 59);
const COLOURS: [RGBColor; 3] =
    [RGBColor(30, 99, 160), RGBColor(192, 86, 33), RGBColor(70, 120, 70)];

/// All charts of a run; fewer where there is nothing to show.
///
/// # Errors
/// What the drawing says, in text.
pub fn charts(findings: &Findings) -> Result<Vec<Chart>, String> {
    let mut charts = Vec::new();
    if !findings.changes.is_empty() {
        charts.push(change_chart(findings)?);
    }
    if !findings.sensitivities.is_empty() {
        charts.push(sensitivity_chart(&findings.sensitivities)?);
    }
    if !findings.report.bytes_per_device_year.is_empty() {
        charts.push(traffic_chart(findings)?);
    }
    let report = &findings.report;
    let times = [
        ("from a loss until it is known", &report.detection),
        ("from a new device to all files", &report.restore),
        ("from a loss to full protection", &report.protection),
    ];
    let curves: Vec<(&str, &[(f64, f64)])> = times
        .iter()
        .filter_map(|(name, taken)| Some((*name, taken.as_ref()?.curve.as_slice())))
        .filter(|(_, curve)| !curve.is_empty())
        .collect();
    if !curves.is_empty() {
        charts.push(time_chart(&curves)?);
    }
    Ok(charts)
}

/// A bar, with a whisker where there is an interval.
struct Bar {
    name: String,
    value: f64,
    ends: Option<(f64, f64)>,
}

fn change_chart(findings: &Findings) -> Result<Chart, String> {
    let as_it_is = findings.base.unwrap_or(findings.report.circle_loss);
    let bar = |name: &str, loss: &Estimate| Bar {
        name: name.to_owned(),
        value: loss.value,
        ends: Some((loss.low, loss.high)),
    };
    let mut bars = vec![bar("as it is", &as_it_is)];
    bars.extend(findings.changes.iter().map(|it: &Change| bar(&it.what, &it.loss)));
    let mut csv = String::from("change,loss_per_year,low,high\n");
    for bar in &bars {
        let (low, high) = bar.ends.unwrap_or_default();
        let _ = writeln!(csv, "\"{}\",{:e},{low:e},{high:e}", bar.name, bar.value);
    }
    // Chances of a loss are read best as "in ten thousand".
    let scaled: Vec<Bar> = bars
        .into_iter()
        .map(|bar| Bar {
            name: bar.name,
            value: bar.value * 1e4,
            ends: bar.ends.map(|(low, high)| (low * 1e4, high * 1e4)),
        })
        .collect();
    let svg = bar_chart(&scaled, "of 10,000 such circles, so many lose files in a year")?;
    Ok(Chart { name: "changes", title: "What would help", svg, csv })
}

fn traffic_chart(findings: &Findings) -> Result<Chart, String> {
    let bytes = &findings.report.bytes_per_device_year;
    let mut csv = String::from("cause,bytes_per_device_year\n");
    for (cause, value) in bytes {
        let _ = writeln!(csv, "\"{cause}\",{value:.0}");
    }
    let bars: Vec<Bar> = bytes
        .iter()
        .map(|(cause, value)| Bar { name: (*cause).to_owned(), value: value / 1e9, ends: None })
        .collect();
    let svg = bar_chart(&bars, "GB over the lines, each device and year")?;
    Ok(Chart { name: "traffic", title: "What it costs the lines", svg, csv })
}

fn bar_chart(bars: &[Bar], axis: &str) -> Result<String, String> {
    let mut svg = String::new();
    draw_bars(&mut svg, bars, axis).map_err(|error| error.to_string())?;
    Ok(svg)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_bars(svg: &mut String, bars: &[Bar], axis: &str) -> Drawn {
    let height = 90 + 40 * u32::try_from(bars.len())?;
    let root = SVGBackend::with_string(svg, (SIZE.0, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let most = bars.iter().map(|bar| bar.ends.map_or(bar.value, |(_, high)| high));
    let most = most.fold(0.0, f64::max).max(1e-12) * 1.08;
    let rows = count(bars.len());
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(330)
        .build_cartesian_2d(0.0..most, 0.0..rows)?;
    let name = |place: &f64| {
        let row = usize::try_from(whole((rows - place - 0.5).max(0.0))).unwrap_or(0);
        let is_row = (rows - place - 0.5 - count(row)).abs() < 1e-6;
        bars.get(row).filter(|_| is_row).map_or(String::new(), |bar| bar.name.clone())
    };
    chart
        .configure_mesh()
        .disable_mesh()
        .y_labels(0)
        .x_desc(axis)
        .label_style(("sans-serif", 16, &INK))
        .axis_desc_style(("sans-serif", 16, &INK))
        .y_label_formatter(&name)
        .draw()?;
    for (row, bar) in bars.iter().enumerate() {
        let top = rows - count(row);
        let colour = if row == 0 { COLOURS[1] } else { COLOURS[0] };
        let corners = [(0.0, top - 0.78), (bar.value, top - 0.22)];
        chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        if let Some((low, high)) = bar.ends {
            let whisker = vec![(low, top - 0.5), (high, top - 0.5)];
            chart.draw_series([PathElement::new(whisker, INK.stroke_width(2))])?;
        }
        let style = ("sans-serif", 16).into_font().color(&INK);
        let place = chart.backend_coord(&(0.0, top - 0.62));
        root.draw(&Text::new(bar.name.clone(), (16, place.1 - 10), style))?;
    }
    root.present()?;
    Ok(())
}

fn sensitivity_chart(points: &[Sensitivity]) -> Result<Chart, String> {
    let mut csv = String::from("what,times,loss_per_year,low,high\n");
    for it in points {
        let loss = &it.loss;
        let (value, low, high) = (loss.value, loss.low, loss.high);
        let _ = writeln!(csv, "\"{}\",{},{value:e},{low:e},{high:e}", it.what, it.times);
    }
    let mut svg = String::new();
    draw_sensitivities(&mut svg, points).map_err(|error| error.to_string())?;
    Ok(Chart { name: "sensitivity", title: "How much of this is assumption", svg, csv })
}

fn draw_sensitivities(svg: &mut String, points: &[Sensitivity]) -> Drawn {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let seen: Vec<f64> = points.iter().map(|it| it.loss.value).filter(|it| *it > 0.0).collect();
    let low = seen.iter().copied().fold(f64::INFINITY, f64::min).min(0.1);
    let high = seen.iter().copied().fold(0.0, f64::max).max(low * 2.0);
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(90)
        .build_cartesian_2d((0.15..5.0).log_scale(), (low / 2.0..high * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("times what the profile assumes")
        .y_desc("chance of a loss in a year")
        .label_style(("sans-serif", 16, &INK))
        .axis_desc_style(("sans-serif", 16, &INK))
        .y_label_formatter(&|value| format!("{value:.0e}"))
        .draw()?;
    let mut names: Vec<&str> = points.iter().map(|it| it.what).collect();
    names.dedup();
    for (name, colour) in names.into_iter().zip(COLOURS) {
        let of_it = |it: &&Sensitivity| it.what == name && it.loss.value > 0.0;
        let line: Vec<(f64, f64)> =
            points.iter().filter(of_it).map(|it| (it.times, it.loss.value)).collect();
        let Some(last) = line.last().copied() else { continue };
        chart.draw_series([PathElement::new(line.clone(), colour.stroke_width(3))])?;
        chart.draw_series(line.iter().map(|at| Circle::new(*at, 5, colour.filled())))?;
        for it in points.iter().filter(of_it) {
            let whisker = vec![(it.times, it.loss.low.max(low / 2.0)), (it.times, it.loss.high)];
            chart.draw_series([PathElement::new(whisker, colour.stroke_width(1))])?;
        }
        let place = chart.backend_coord(&last);
        let style = ("sans-serif", 16).into_font().color(&colour);
        root.draw(&Text::new(name, (place.0 - 130, place.1 - 22), style))?;
    }
    root.present()?;
    Ok(())
}

/// Days that the chart of times begins and ends with.
const DAYS: (f64, f64) = (0.02, 400.0);

fn time_chart(curves: &[(&'static str, &[(f64, f64)])]) -> Result<Chart, String> {
    let mut csv = String::from("what,hours,share\n");
    for (name, curve) in curves {
        for (hours, share) in *curve {
            let _ = writeln!(csv, "\"{name}\",{hours:.3},{share:.6}");
        }
    }
    let mut svg = String::new();
    draw_times(&mut svg, curves).map_err(|error| error.to_string())?;
    Ok(Chart { name: "times", title: "How long it takes", svg, csv })
}

fn draw_times(svg: &mut String, curves: &[(&str, &[(f64, f64)])]) -> Drawn {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(90)
        .build_cartesian_2d((DAYS.0..DAYS.1).log_scale(), 0.0..1.0)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("days")
        .y_desc("share that is over by then")
        .label_style(("sans-serif", 16, &INK))
        .axis_desc_style(("sans-serif", 16, &INK))
        .x_label_formatter(&|days| format!("{days}"))
        .y_label_formatter(&|share| format!("{:.0} %", share * 100.0))
        .draw()?;
    for ((row, (name, curve)), colour) in (0_i32..).zip(curves).zip(COLOURS) {
        // In steps: a share holds until the next length that was seen.
        let mut line = vec![(DAYS.0, 0.0)];
        for (hours, share) in *curve {
            let day = (hours / 24.0).clamp(DAYS.0, DAYS.1);
            let before = line.last().map_or(0.0, |(_, share)| *share);
            line.extend([(day, before), (day, *share)]);
        }
        chart.draw_series([PathElement::new(line, colour.stroke_width(3))])?;
        // Named above each other, where all of them are low.
        let style = ("sans-serif", 16).into_font().color(&colour);
        root.draw(&Text::new((*name).to_owned(), (130, 30 + 24 * row), style))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_of_times_says_what_its_numbers_say() {
        let curve = [(24.0, 0.5), (240.0, 0.75)];
        let chart = time_chart(&[("a restore", &curve)]).expect("it is drawn");
        assert_eq!(
            chart.csv,
            "what,hours,share\n\"a restore\",24.000,0.500000\n\"a restore\",240.000,0.750000\n"
        );
        assert!(chart.svg.starts_with("<svg") && chart.svg.contains("a restore"));
    }
}
