//! A report as files: JSON, charts with their numbers, and one page that needs nothing else.

use std::{fmt::Write, fs, io, path::Path};

use super::{
    chart::{Chart, charts},
    text::{Findings, best_change, bytes, chance, within},
};

const STYLE: &str = "body{font:18px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1e293b}\
h1{font-size:1.9rem;margin:0 0 .3rem}h2{margin-top:2.5rem}.big{font-size:1.35rem;background:#eef4fa;border-left:.4rem solid #1e63a0;\
padding:1rem 1.2rem;margin:1.2rem 0}.help{border-color:#c05621;background:#fdf3ec}li{margin:.3rem 0}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid #d8dee6;vertical-align:top}.quiet{color:#5b6778;font-size:.95rem}\
svg{max-width:100%;height:auto}";

/// Writes all files of a report into a directory.
///
/// # Errors
/// When it cannot be written, or a chart cannot be drawn.
pub fn write(findings: &Findings, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let charts = charts(findings).map_err(io::Error::other)?;
    let json = serde_json::to_string_pretty(findings).map_err(io::Error::other)?;
    fs::write(directory.join("report.json"), json + "\n")?;
    for chart in &charts {
        fs::write(directory.join(format!("{}.svg", chart.name)), &chart.svg)?;
        fs::write(directory.join(format!("{}.csv", chart.name)), &chart.csv)?;
    }
    fs::write(directory.join("report.html"), page(findings, &charts))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn page(findings: &Findings, charts: &[Chart]) -> String {
    let report = &findings.report;
    let name = escaped(&report.name);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{name}</title>\
         <style>{STYLE}</style>\n<h1>{name}</h1>\n\
         <div class=\"big\">Chance that files are lost for good in a year:<br><b>{}</b></div>\n\
         <div class=\"big help\">{}</div>\n<h2>What it survives</h2>\n<ul>\n",
        escaped(&chance(&report.circle_loss)),
        escaped(&best_change(findings))
    );
    for survived in &findings.survives {
        let _ = writeln!(page, "<li>{}</li>", escaped(&survived.sentence()));
    }
    page.push_str("</ul>\n<p class=\"quiet\">All of this holds if the world is as the scenario assumes; how much hangs on that is shown \
                   below. Bugs, stolen phrases and other causes that reach every device at once come on top.</p>\n");
    for chart in charts {
        let _ = write!(page, "<h2>{}</h2>\n{}\n", chart.title, chart.svg);
    }
    page.push_str("<h2>Figures</h2>\n<table>\n");
    for (what, value) in rows(findings) {
        let _ = writeln!(page, "<tr><td>{}</td><td>{}</td></tr>", escaped(&what), escaped(&value));
    }
    let _ = writeln!(
        page,
        "</table>\n<p class=\"quiet\">{} circles of {} devices over {} years, seed {}. Found by: {}.</p>\n</html>",
        report.circles, report.devices, report.years, report.seed, report.method
    );
    page
}

fn rows(findings: &Findings) -> Vec<(String, String)> {
    let report = &findings.report;
    let mut rows = vec![
        ("A placement group is lost in a year".to_owned(), chance(&report.group_loss)),
        ("Lost of each TB in a year".to_owned(), bytes(report.bytes_lost_per_tb.value)),
        (
            "Too few copies of something at any time in a year".to_owned(),
            chance(&report.circle_bare),
        ),
        ("A common cause in a year, on top".to_owned(), chance(&report.common)),
        ("A group cannot be restored now".to_owned(), chance(&report.unavailable[0])),
        ("Nor within a day".to_owned(), chance(&report.unavailable[1])),
        ("Nor within a week".to_owned(), chance(&report.unavailable[2])),
    ];
    let times = [
        ("From a loss to full protection", &report.protection),
        ("From a loss until it is known", &report.detection),
        ("From a new device to all files", &report.restore),
    ];
    for (what, taken) in times {
        if let Some(it) = taken {
            let (half, most) = (within(it.p50), within(it.p95));
            let value = format!(
                "half {half}, 95 % {most}; {} of {} not over at the end",
                it.unfinished, it.count
            );
            rows.push((what.to_owned(), value));
        }
    }
    for (cause, count) in &report.lost_by {
        rows.push((format!("Groups lost, the last copy to {cause}"), count.to_string()));
    }
    rows
}
