//! Names in columns, filled from the top, as ls(1) does.

/// Blanks between two columns.
const GAP: usize = 2;
/// No column is narrower, with its gap.
const NARROWEST: usize = 3;

/// Where names of these widths go on lines of `width`: the rows, each with the names' numbers and the blanks behind.
pub(super) fn rows(widths: &[usize], width: usize) -> Vec<Vec<(usize, usize)>> {
    let most = (width / NARROWEST).clamp(1, widths.len().max(1));
    let fits = |columns: &usize| line_width(widths, *columns) < width;
    let columns = (2..=most).rev().find(fits).unwrap_or(1);
    let count = widths.len().div_ceil(columns);
    let column_widths: Vec<usize> =
        widths.chunks(count.max(1)).map(|column| column.iter().max().copied().unwrap_or(0) + GAP).collect();
    let row = |row: usize| {
        let names: Vec<usize> = (row..widths.len()).step_by(count).collect();
        let last = names.len().saturating_sub(1);
        let blanks = |column: usize, name: usize| {
            if column == last { 0 } else { column_widths[column] - widths[name] }
        };
        names.iter().enumerate().map(|(column, name)| (*name, blanks(column, *name))).collect()
    };
    (0..count).map(row).collect()
}

/// Width of a line with so many columns.
fn line_width(widths: &[usize], columns: usize) -> usize {
    let count = widths.len().div_ceil(columns);
    let of = |(number, column): (usize, &[usize])| {
        let gap = if number + 1 == columns { 0 } else { GAP };
        (column.iter().max().copied().unwrap_or(0) + gap).max(NARROWEST)
    };
    // A column that stays empty has its width all the same.
    let used: usize = widths.chunks(count.max(1)).enumerate().map(of).sum();
    used + NARROWEST * (columns - widths.len().div_ceil(count.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_filled_from_the_top() {
        assert_eq!(rows(&[1, 1, 1, 1, 1], 8), [vec![(0, 2), (3, 0)], vec![(1, 2), (4, 0)], vec![(2, 0)]]);
        assert_eq!(rows(&[100, 1], 80), [vec![(0, 0)], vec![(1, 0)]]);
        assert!(rows(&[], 80).is_empty());
        for width in 0..100 {
            let widths: Vec<usize> = (0..37).map(|n| n * 7 % 13).collect();
            let mut seen: Vec<usize> = rows(&widths, width).concat().iter().map(|(name, _)| *name).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..37), "each name once, {width} wide");
        }
    }
}
